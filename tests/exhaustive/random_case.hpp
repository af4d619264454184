// A random problem with a random request, graph, target and schedule: all drawn from one seed.
#pragma once

#include <cstdint>
#include <string>

#include "tests/support/run_kernel.hpp"

namespace flashtp::test {

struct RandomCase {
    Problem problem;
    Request request;
    GraphOptions graph;
    Target target;  ///< for the interpreter
    KernelRun run;
};

RandomCase random_case(std::uint64_t seed);

}  // namespace flashtp::test
