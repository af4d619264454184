// Deterministic GPU kernels in the interpreter: neither the order in which warps run nor the order of the edges changes a bit.
#include <algorithm>

#include <doctest/doctest.h>

#include "compiler/pipeline.hpp"
#include "ir/error.hpp"
#include "ir/problem.hpp"
#include "runtime/self_check.hpp"
#include "tests/support/edge_order.hpp"
#include "tests/support/mode_problem.hpp"
#include "tests/support/run_kernel.hpp"

using namespace flashtp;
using namespace flashtp::test;

namespace {

constexpr std::uint64_t warp_orders[] = {1, 2, 3};

/// Tasks of several chunks, ragged ends, and paths that share segments of every operand.
Problem problem_with(bool deterministic, bool shared_weights = false) {
    Problem problem = parse_problem(R"({"irreps_in1": "40x0e+40x1o", "irreps_in2": "0e+1o", "irreps_out": "40x0e+40x1o",
        "instructions": [[0, 0, 0, "uvu", true], [0, 1, 1, "uvu", true], [1, 0, 1, "uvu", true], [1, 1, 0, "uvu", true]]})");
    problem.deterministic = deterministic;
    problem.shared_weights = shared_weights;
    return problem;
}

struct Case {
    Lowered lowered;
    DType dtype;
    Sample sample;

    Case(const Problem& problem, int order, const Target& target, const LoweringOptions& options = {}) : dtype(problem.dtype) {
        lowered = lower(problem, {order, {}, {}}, target, options);
        const SampleOptions size{.edges = 90, .nodes = 14, .seed = 5};
        sample = random_sample(problem, lowered.edge.operands, size);
        sample.graph = distinct_edges(size.edges, static_cast<std::int32_t>(size.nodes), 7);
    }

    Tensors outputs(const Sample& of, std::uint64_t warp_order, int rows_per_warp = 0) const {
        return run_interpreted(lowered, dtype, of, rows_per_warp, warp_order);
    }
    int differing_warp_orders() const {
        const Tensors first = outputs(sample, 0);
        return static_cast<int>(std::ranges::count_if(warp_orders, [&](std::uint64_t order) { return outputs(sample, order) != first; }));
    }
};

/// Outputs for the same edges in another order, with rows of edges where they were before.
Tensors outputs_of_other_edge_order(const Case& c) {
    const EdgeOrder order(c.sample.graph.edges, 1);
    const std::vector<Operand>& operands = c.lowered.edge.operands;
    return order.back(c.outputs(order.reordered(c.sample, operands), 0), operands);
}

}  // namespace

TEST_CASE("deterministic: the order in which warps run changes no bit, and without the option it does") {
    for (const Target& target : cuda_targets())
        for (const bool shared_weights : {false, true})
            for (const int order : {0, 1, 2, 3}) {
                CAPTURE(target.name);
                CAPTURE(shared_weights);
                CAPTURE(order);
                CHECK(Case(problem_with(true, shared_weights), order, target).differing_warp_orders() == 0);
                if (order > 0) CHECK(Case(problem_with(false, shared_weights), order, target).differing_warp_orders() > 0);
            }
}

TEST_CASE("deterministic: the order of edges changes no bit, and without the option it does") {
    for (const bool shared_weights : {false, true})
        for (const int order : {0, 1, 2}) {
            CAPTURE(shared_weights);
            CAPTURE(order);
            const Case ours(problem_with(true, shared_weights), order, cuda_target("sm_90a"));
            CHECK(outputs_of_other_edge_order(ours) == ours.outputs(ours.sample, 0));
        }
    // One after the other, warps add to a sender's row in the order of receivers; a receiver's own sum follows the edges.
    const Case plain(problem_with(false), 0, cuda_target("sm_90a"));
    CHECK(outputs_of_other_edge_order(plain) != plain.outputs(plain.sample, 0));
}

TEST_CASE("deterministic: the rows that a warp takes change no bit") {
    const Case c(problem_with(true), 1, cuda_target("sm_90a"));
    CHECK(c.outputs(c.sample, 0, 1) == c.outputs(c.sample, 0, 5));
}

TEST_CASE("deterministic: every mode computes what the oracle says, by every way to copy and by the general schedule") {
    for (const ModeProblem& mode : all_mode_problems(1)) {
        CAPTURE(to_string(mode));
        for (const int order : {0, 1, 2}) {
            Problem problem = mode_problem(mode);
            problem.deterministic = true;
            const Experiment experiment(problem, {order, {}, {}}, {.edges = 25}, 3);
            for (const Target& target : cuda_targets()) CHECK(complaint_interpreted(experiment, target) == "");
            KernelRun general;
            general.options.general = true;
            CHECK(complaint_interpreted(experiment, cuda_target("sm_90a"), general) == "");
        }
    }
}
