// Many independent checks on all cores.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace flashtp::test {

/// Runs check(0) ... check(count - 1), several at a time, and returns what they complained about, in order. A check complains
/// by returning a text or by throwing.
std::vector<std::string> complaints(std::int64_t count, const std::function<std::string(std::int64_t)>& check);

}  // namespace flashtp::test
