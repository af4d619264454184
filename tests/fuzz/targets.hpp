// Functions that take any bytes: what reads input of others. Each accepts its input or throws UserError; anything else is a mistake.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace flashtp::test {

using FuzzInput = std::span<const std::uint8_t>;

struct FuzzTarget {
    const char* name;  ///< also of its corpus, tests/fuzz/corpus/NAME
    void (*run)(FuzzInput);
};

const std::vector<FuzzTarget>& fuzz_targets();

}  // namespace flashtp::test
