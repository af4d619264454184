// What a call throws, as text, for tables of errors.
#pragma once

#include <string>
#include <string_view>

#include "ir/error.hpp"

namespace flashtp::test {

/// The message of the user error that the call throws, or "(no error)". LimitErrors are marked, since callers tell them apart.
template <class Function>
std::string error_of(Function function) {
    try {
        function();
    } catch (const LimitError& error) {
        return std::string("limit: ") + error.what();
    } catch (const UserError& error) {
        return error.what();
    }
    return "(no error)";
}

inline bool contains(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

}  // namespace flashtp::test
