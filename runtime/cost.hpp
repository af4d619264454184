// What a program must move and compute at the least.
#pragma once

#include "runtime/program.hpp"

namespace flashtp {

struct Cost {
    double bytes = 0;          ///< every operand the kernels use once, and the index arrays
    double multiply_adds = 0;  ///< of the factored program
};
Cost cost_of(const Problem&, const Lowered&, std::int64_t edges, std::int64_t nodes);
Cost cost_of(const Program&, std::int64_t edges, std::int64_t nodes);

}  // namespace flashtp
