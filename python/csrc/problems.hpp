// Problems by number: numbers are shorter to pass around and to look up than texts of kilobytes.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "exported.hpp"

namespace flashtp::torch_operators {

/// The number of a problem in this process, from its text (a specification without dtype) or from what short_name makes of the
/// number. The same text always has the same number.
FLASHTP_TORCH_EXPORT std::int64_t problem_number(std::string_view text_or_name);

/// Stays valid. Throws std::invalid_argument for a number that is not given out.
FLASHTP_TORCH_EXPORT const std::string& problem_text(std::int64_t number);

/// A specification with its dtype.
std::string with_dtype(const std::string& problem, bool float64);

}  // namespace flashtp::torch_operators
