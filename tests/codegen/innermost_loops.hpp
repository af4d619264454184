// The innermost loops of x86-64 assembly, with what they do: tests of generated code read these counts.
#pragma once

#include <string>
#include <vector>

namespace flashtp::test {

struct InnermostLoop {
    std::string function;
    int instructions = 0;
    int vector_multiply_adds = 0;  ///< multiplications too
    int scalar_multiply_adds = 0;
    int spills = 0;                ///< vector registers that the compiler writes to the stack, as its comments say
    int integer_spills = 0;        ///< addresses and counters
};

/// Loops around no other loop, in AT&T syntax as LLVM prints it.
std::vector<InnermostLoop> innermost_loops(const std::string& assembly);

}  // namespace flashtp::test
