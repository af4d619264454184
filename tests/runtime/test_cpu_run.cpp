// What the number of threads may change in the results of a run, and what not.
#include <doctest/doctest.h>

#include "runtime/engine.hpp"
#include "runtime/self_check.hpp"
#include "tests/runtime/memory_only.hpp"
#include "tests/support/cpu_kernel.hpp"

using namespace flashtp;
using namespace flashtp::test;

namespace {

constexpr int thread_counts[] = {1, 2, 3, 5, 8};

Problem problem_with(bool convolution, bool shared_weights, bool deterministic) {
    Problem problem = parse_problem(R"({"irreps_in1": "8x0e+8x1o", "irreps_in2": "0e+1o", "irreps_out": "8x0e+8x1o",
        "instructions": [[0, 0, 0, "uvu", true], [0, 1, 1, "uvu", true], [1, 0, 1, "uvu", true], [1, 1, 0, "uvu", true]]})");
    problem.convolution = convolution;
    problem.shared_weights = shared_weights;
    problem.deterministic = deterministic;
    return problem;
}

/// How many of the thread counts give other results than one thread.
int differing_runs(const Problem& problem, int order) {
    Engine engine(memory_only());
    const auto program = engine.compile(problem, {order, {}, {}}, engine.target("cpu"));
    const Sample sample =
        random_sample(problem, operands_of(problem, program->request()), {.edges = 999, .nodes = 40, .seed = 3});
    const Tensors one = run_on_cpu(*program, sample, 1);
    int differing = 0;
    for (const int threads : thread_counts) differing += run_on_cpu(*program, sample, threads) != one;
    return differing;
}

}  // namespace

TEST_CASE("deterministic: the number of threads does not change a bit") {
    if (!have_llvm_backend()) return;
    for (const bool convolution : {false, true})
        for (const bool shared_weights : {false, true})
            for (const int order : {0, 1, 2}) {
                CAPTURE(convolution);
                CAPTURE(shared_weights);
                CAPTURE(order);
                CHECK(differing_runs(problem_with(convolution, shared_weights, true), order) == 0);
            }
}

TEST_CASE("without deterministic, only sums that several threads share differ") {
    if (!have_llvm_backend()) return;
    CHECK(differing_runs(problem_with(true, false, false), 0) == 0);
    CHECK(differing_runs(problem_with(true, false, false), 1) > 0);
    CHECK(differing_runs(problem_with(false, true, false), 1) > 0);
}
