// Numbers of an edge that a kernel in front makes.
#include "compiler/split_forms.hpp"

#include <algorithm>
#include <utility>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include "compiler/derivative.hpp"
#include "compiler/expand_paths.hpp"
#include "compiler/factor.hpp"
#include "compiler/nest.hpp"
#include "compiler/pipeline.hpp"
#include "runtime/engine.hpp"
#include "runtime/problem_file.hpp"
#include "tests/runtime/memory_only.hpp"
#include "tests/support/cpu_kernel.hpp"
#include "tests/support/run_kernel.hpp"

using namespace flashtp;
using namespace flashtp::test;

namespace {

/// Paths with one to five terms a sum, and channels that fill vectors with and without a rest.
Problem layer(int multiplicity) {
    return parse_problem(
        fmt::format(R"({{"irreps_in1": "{0}x0e+{0}x1o", "irreps_in2": "0e+1o+2e", "irreps_out": "{0}x0e+{0}x1o+{0}x1o+{0}x2e",
        "instructions": [[0, 0, 0, "uvu", true], [1, 1, 0, "uvu", true], [0, 1, 1, "uvu", true], [1, 2, 2, "uvu", true], [1, 1, 3, "uvu", true]]}})",
                    multiplicity));
}

EdgeProgram program_of(const Problem& problem, Factoring factoring, int order) {
    return derivative(factor(expand_paths(problem), factoring, order), {order, {}, {}});
}

Lowered lowered(const Problem& problem, int order, const LoweringOptions& options = {}) {
    return lower(problem, {order, {}, {}}, cpu_target("x86-64-v3"), options);
}

}  // namespace

TEST_CASE("forms: a kernel in front makes what no channel indexes, and nothing else") {
    for (const int order : {0, 1, 2}) {
        CAPTURE(order);
        const EdgeProgram whole = program_of(layer(16), Factoring::weights_first, order);
        const LayerSplit split = split_forms(whole);
        REQUIRE(split.tiles.size() == 1);
        CHECK(reads_forms(split.main));
        CHECK(!reads_forms(whole));
        CHECK(split.before.statements.size() + split.main.statements.size() == whole.statements.size());
        for (const Value& v : split.before.values) CHECK(v.extents.empty());
        CHECK(split.before.is_convolution());
        const auto of_y = [&](const Value& v) {
            return v.binding && split.main.operands[v.binding->operand].name.ends_with("y") &&
                   split.main.operands[v.binding->operand].role == Role::input;
        };
        CHECK(std::ranges::none_of(split.main.values, of_y));
    }
    CHECK(split_forms(program_of(layer(16), Factoring::merged, 0)).tiles.empty());
}

TEST_CASE("forms: sums over lanes that only forms read stay in the lanes") {
    const EdgeProgram main = split_forms(program_of(layer(16), Factoring::weights_first, 1)).main;
    Task task;
    task.lane_axis = 0;
    task.loops = {{LoopKind::chunk, -1}, {LoopKind::receiver, -1}, {LoopKind::edge, -1}};
    const Nest nest(main, task);
    int partial = 0;
    for (ValueId v = 0; v < static_cast<ValueId>(main.values.size()); ++v) {
        const bool gradient = main.values[v].name.starts_with("d_M");
        CHECK(nest.place(v).partial == gradient);
        partial += gradient;
        if (main.is_output(v) && main.operands[main.values[v].binding->operand].name == "d_y") CHECK(nest.place(v).lane_sum);
    }
    CHECK(partial == 3);
}

TEST_CASE("forms: on CPUs where two ninths of the operations go") {
    const auto factoring = [](const char* spec, int order) {
        return lowered(load_problem(FLASHTP_SOURCE_DIR "/examples/specs/" + std::string(spec)), order);
    };
    for (const int order : {0, 1, 2}) {
        CAPTURE(order);
        const Lowered mace = factoring("mace-large.json:2", order);
        CHECK(mace.schedule.factoring == "weights_first");
        REQUIRE(mace.kernels.size() == 2);
        CHECK(mace.kernels[0].name == fmt::format("flashtp_order{}_forms", order));
        CHECK(std::ranges::all_of(mace.schedule.tasks, [](const Task& task) { return task.channels_per_lane == 2; }));
        const Lowered sevennet = factoring("sevennet-l3i5.json:2", order);
        const bool pays = order == 1;  // 0.76 of the operations; 0.84 and 0.81 at the others
        CHECK(sevennet.schedule.factoring == (pays ? "weights_first" : "merged"));
        CHECK(sevennet.kernels.size() == (pays ? 2 : 1));
    }
}

TEST_CASE("forms: a schedule brings them back") {
    const Problem problem = layer(16);
    LoweringOptions options;
    options.factoring = Factoring::weights_first;
    const Lowered first = lowered(problem, 1, options);
    options.schedule = parse_schedule(to_json(first.schedule));
    options.factoring.reset();
    CHECK(lowered(problem, 1, options).kernels == first.kernels);
}

TEST_CASE("forms: kernels compute what the oracle says") {
    if (!have_llvm_backend()) return;
    Engine engine(memory_only());
    // Of one channel, scaled weights belong to edges alone too, each to its path.
    const std::pair<int, Factoring> cases[] = {
        {16, Factoring::weights_first}, {37, Factoring::weights_first}, {1, Factoring::weights_first}, {1, Factoring::merged}};
    for (const auto& [multiplicity, factoring] : cases)
        for (const DType dtype : {DType::float32, DType::float64})
            for (const int order : {0, 1, 2, 3}) {
                CAPTURE(multiplicity);
                CAPTURE(order);
                Problem problem = layer(multiplicity);
                problem.dtype = dtype;
                KernelRun run{.options = {}, .rows_per_warp = 0, .threads = 2};
                run.options.factoring = factoring;
                const Experiment experiment(problem, {order, {}, {}},
                                            {.edges = 40, .senders = 7, .receivers = 5, .sorted = false}, 5);
                CHECK(complaint_on_cpu(engine, experiment, run) == "");
            }
}
