// Problems by number: numbers are shorter to pass around and to look up than texts of kilobytes.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "exported.hpp"
#include "tensors.hpp"

namespace flashtp::torch_operators {

/// The number of a problem in this process, from its text (a specification without dtype) or from what short_name makes of the
/// number. The same text always has the same number.
FLASHTP_TORCH_EXPORT std::int64_t problem_number(std::string_view text_or_name);

/// Stays valid. Throws std::invalid_argument for a number that is not given out.
FLASHTP_TORCH_EXPORT const std::string& problem_text(std::int64_t number);

/// Element types of x, of y and of weights. Radial layers have no weights in memory, and theirs is that of x.
struct Types {
    ScalarType x = ScalarType::Float, y = ScalarType::Float, w = ScalarType::Float;

    bool operator==(const Types&) const = default;
    /// Of an operand or output by name; a gradient or cotangent has the type of what it belongs to.
    ScalarType of(std::string_view name) const { return name.ends_with('y') ? y : name.ends_with('w') ? w : x; }
};

/// A specification with its types.
std::string with_types(const std::string& problem, const Types&);

}  // namespace flashtp::torch_operators
