// JSON text that may be hostile: bounded before it is built, duplicate keys refused, errors as UserError.
#pragma once

#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "ir/error.hpp"

namespace flashtp {

/// Parses one value. Refuses text over max_json_bytes before parsing; stops at nesting over max_json_depth, more values or
/// instructions than a specification can hold, duplicate keys, NaN and numbers too large for a double.
nlohmann::json parse_strict_json(std::string_view text);

/// "a string", "an array": what a value is, for messages; numbers and booleans show themselves.
std::string describe(const nlohmann::json&);

/// Runs a function and puts "context: " before the message of a user error it throws.
template <class Function>
auto with_context(std::string_view context, Function function) {
    try {
        return function();
    } catch (const LimitError& error) {
        throw LimitError(fmt::format("{}: {}", context, error.what()));
    } catch (const UserError& error) {
        throw UserError(fmt::format("{}: {}", context, error.what()));
    }
}

}  // namespace flashtp
