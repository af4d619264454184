// Deterministic programs on a device: right, and the same bits in every run and for every order of the edges.
#include <iostream>

#include <doctest/doctest.h>

#include "runtime/engine.hpp"
#include "runtime/problem_file.hpp"
#include "runtime/self_check.hpp"
#include "tests/support/device_or_skip.hpp"
#include "tests/support/edge_order.hpp"

using namespace flashtp;
using namespace flashtp::test;

namespace {

struct DeviceCase {
    std::shared_ptr<Program> program;
    std::vector<Operand> operands;
    Sample sample;

    DeviceCase(Engine& engine, Problem problem, int order, bool deterministic) {
        problem.deterministic = deterministic;
        const Request request{order, {}, {}};
        program = engine.compile(problem, request, engine.target("cuda"));
        operands = operands_of(problem, request);
        sample = random_sample(problem, operands, {.edges = 4000, .nodes = 200, .seed = 5});
        sample.graph = distinct_edges(4000, 200, 7);
    }
    /// How many of the runs give other bits than the first one.
    int differing_runs(const Tensors& first, int runs) const {
        int differing = 0;
        for (int run = 0; run < runs; ++run) differing += run_on_cuda(*program, sample) != first;
        return differing;
    }
};

}  // namespace

TEST_CASE("cuda: deterministic programs give the same bits in every run and for every order of the edges") {
    if (!device_or_skip()) return;
    Engine engine;
    for (const char* spec : {"sevennet-l3i5.json:2", "mace-large.json:2", "nequip-l2.json:4"})
        for (const int order : {0, 1, 2}) {
            CAPTURE(spec);
            CAPTURE(order);
            const Problem problem = load_problems(FLASHTP_SOURCE_DIR "/examples/specs/" + std::string(spec)).at(0);
            const DeviceCase c(engine, problem, order, true);
            const Tensors first = run_on_cuda(*c.program, c.sample);
            CHECK(c.differing_runs(first, 4) == 0);
            const EdgeOrder other(c.sample.graph.edges, 3);
            CHECK(other.back(run_on_cuda(*c.program, other.reordered(c.sample, c.operands)), c.operands) == first);
            const DeviceCase plain(engine, problem, order, false);
            std::cout << spec << " order " << order << ": without the option, "
                      << plain.differing_runs(run_on_cuda(*plain.program, plain.sample), 4) << " of 4 runs differ" << std::endl;
        }
}
