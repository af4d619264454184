// Deterministic GPU kernels in the interpreter: neither the order in which warps run nor the order of the edges changes a bit.
#include <algorithm>
#include <numeric>
#include <random>
#include <set>

#include <doctest/doctest.h>

#include "compiler/pipeline.hpp"
#include "ir/error.hpp"
#include "ir/problem.hpp"
#include "runtime/self_check.hpp"
#include "tests/support/mode_problem.hpp"
#include "tests/support/run_kernel.hpp"

using namespace flashtp;
using namespace flashtp::test;

namespace {

constexpr std::uint64_t warp_orders[] = {1, 2, 3};

/// Tasks of several chunks, ragged ends, and paths that share segments of every operand.
Problem problem_with(bool deterministic) {
    Problem problem = parse_problem(R"({"irreps_in1": "40x0e+40x1o", "irreps_in2": "0e+1o", "irreps_out": "40x0e+40x1o",
        "instructions": [[0, 0, 0, "uvu", true], [0, 1, 1, "uvu", true], [1, 0, 1, "uvu", true], [1, 1, 0, "uvu", true]]})");
    problem.deterministic = deterministic;
    return problem;
}

/// Edges whose (receiver, sender) pairs differ, some nodes without edges.
Graph distinct_edges(std::int64_t edges, std::int32_t nodes, std::mt19937_64& random) {
    Graph graph{edges, nodes, nodes, {}, {}};
    std::set<std::pair<std::int32_t, std::int32_t>> seen;
    while (static_cast<std::int64_t>(graph.sender.size()) < edges) {
        const auto draw = [&] { return static_cast<std::int32_t>(random() % static_cast<std::uint64_t>(nodes)); };
        const std::int32_t sender = draw(), receiver = draw();
        if (!seen.emplace(receiver, sender).second) continue;
        graph.sender.push_back(sender);
        graph.receiver.push_back(receiver);
    }
    return graph;
}

struct Case {
    Lowered lowered;
    DType dtype;
    Sample sample;

    Case(const Problem& problem, int order, const Target& target, const LoweringOptions& options = {}) : dtype(problem.dtype) {
        Trace trace;
        lowered = lower(problem, {order, {}, {}}, target, options, trace);
        const SampleOptions size{.edges = 90, .nodes = 14, .seed = 5};
        sample = random_sample(problem, lowered.edge.operands, size);
        std::mt19937_64 random(7);
        if (problem.convolution) sample.graph = distinct_edges(size.edges, static_cast<std::int32_t>(size.nodes), random);
    }

    Tensors outputs(const Sample& of, std::uint64_t warp_order, int rows_per_warp = 0) const {
        return run_interpreted(lowered, dtype, of, rows_per_warp, warp_order);
    }
    int differing_warp_orders() const {
        const Tensors first = outputs(sample, 0);
        return static_cast<int>(std::ranges::count_if(warp_orders, [&](std::uint64_t order) { return outputs(sample, order) != first; }));
    }
};

std::vector<double> permuted(const std::vector<double>& rows, std::int64_t width, const std::vector<std::size_t>& order, bool back) {
    std::vector<double> result(rows.size());
    for (std::size_t e = 0; e < order.size(); ++e) {
        const std::size_t from = (back ? e : order[e]) * static_cast<std::size_t>(width), to = (back ? order[e] : e) * static_cast<std::size_t>(width);
        std::copy_n(rows.begin() + static_cast<std::ptrdiff_t>(from), width, result.begin() + static_cast<std::ptrdiff_t>(to));
    }
    return result;
}

/// Outputs for the same edges in another order, with rows of edges where they were before.
Tensors outputs_of_other_edge_order(const Case& c, std::uint64_t seed) {
    std::vector<std::size_t> order(static_cast<std::size_t>(c.sample.graph.edges));
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::ranges::shuffle(order, std::mt19937_64(seed));
    Sample other = c.sample;
    for (std::size_t e = 0; e < order.size(); ++e) {
        other.graph.sender[e] = c.sample.graph.sender[order[e]];
        other.graph.receiver[e] = c.sample.graph.receiver[order[e]];
    }
    for (const Operand& o : c.lowered.edge.operands)
        if (o.role == Role::input && o.row == Row::edge) other.inputs[o.name] = permuted(c.sample.inputs.at(o.name), o.width, order, false);
    Tensors outputs = c.outputs(other, 0);
    for (const Operand& o : c.lowered.edge.operands)
        if (o.role == Role::output && o.row == Row::edge) outputs[o.name] = permuted(outputs.at(o.name), o.width, order, true);
    return outputs;
}

}  // namespace

TEST_CASE("deterministic: the order in which warps run changes no bit, and without the option it does") {
    for (const Target& target : cuda_targets())
        for (const int order : {0, 1, 2, 3}) {
            CAPTURE(target.name);
            CAPTURE(order);
            CHECK(Case(problem_with(true), order, target).differing_warp_orders() == 0);
            if (order > 0) CHECK(Case(problem_with(false), order, target).differing_warp_orders() > 0);
        }
}

TEST_CASE("deterministic: the order of edges changes no bit, and without the option it does") {
    for (const int order : {0, 1, 2}) {
        CAPTURE(order);
        const Case ours(problem_with(true), order, cuda_target("sm_90a"));
        CHECK(outputs_of_other_edge_order(ours, 1) == ours.outputs(ours.sample, 0));
    }
    // One after the other, warps add to a sender's row in the order of receivers; a receiver's own sum follows the edges.
    const Case plain(problem_with(false), 0, cuda_target("sm_90a"));
    CHECK(outputs_of_other_edge_order(plain, 1) != plain.outputs(plain.sample, 0));
}

TEST_CASE("deterministic: the rows that a warp takes change no bit") {
    const Case c(problem_with(true), 1, cuda_target("sm_90a"));
    CHECK(c.outputs(c.sample, 0, 1) == c.outputs(c.sample, 0, 5));
}

TEST_CASE("deterministic: every mode computes what the oracle says, by every way to copy and by the general schedule") {
    for (const ModeProblem& mode : all_mode_problems(1)) {
        if (mode.shared_weights) continue;
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
