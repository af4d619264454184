// Compiling once, finding it again, and running on any number of threads.
#include <atomic>
#include <cmath>
#include <cstring>
#include <thread>

#include <doctest/doctest.h>

#include "ir/error.hpp"
#include "runtime/edges.hpp"
#include "runtime/engine.hpp"
#include "runtime/self_check.hpp"
#include "tests/runtime/memory_only.hpp"
#include "tests/runtime/temporary_directory.hpp"
#include "tests/support/cpu_kernel.hpp"

using namespace flashtp;
using namespace flashtp::test;

namespace {

const char* const convolution = R"({"irreps_in1": "8x0e+8x1o", "irreps_in2": "0e+1o", "irreps_out": "8x0e+8x1o",
    "instructions": [[0, 0, 0, "uvu", true], [0, 1, 1, "uvu", true], [1, 0, 1, "uvu", true], [1, 1, 0, "uvu", true]]})";
const char* const shared_weights = R"({"irreps_in1": "4x0e", "irreps_in2": "3x0e", "irreps_out": "5x0e",
    "instructions": [[0, 0, 0, "uvw", true]], "shared_weights": true, "convolution": false, "dtype": "float64"})";

void check_all(const Program& program, const SampleOptions& options, int threads) {
    const Problem& problem = program.problem();
    const Sample sample = random_sample(problem, operands_of(problem, program.request()), options);
    const Tensors found = run_on_cpu(program, sample, threads);
    for (const OutputCheck& check : compare(expect(problem, program.request(), sample), found, epsilon(problem.dtype))) {
        CAPTURE(check.output);
        CHECK(check.ok());
    }
}

/// A run that counts how often it was asked to compile would need a back end of its own; the cache's counters say the same.
EngineOptions options_for(const TemporaryDirectory& directory) {
    EngineOptions options;
    options.cache_directory = directory.path();
    return options;
}

}  // namespace

TEST_CASE("receivers are split by their edges") {
    const std::vector<std::int32_t> row_ptr = {0, 100, 100, 100, 101, 102, 200};
    const GraphView graph{200, 6, 6, row_ptr.data()};
    for (const int parts : {1, 2, 3, 7}) {
        const std::vector<RowRange> ranges = split_receivers(graph, parts);
        CHECK(ranges.size() == static_cast<std::size_t>(parts));
        CHECK(ranges.front().begin == 0);
        CHECK(ranges.back().end == 6);
        for (std::size_t i = 1; i < ranges.size(); ++i) CHECK(ranges[i].begin == ranges[i - 1].end);
    }
    CHECK(split_receivers(graph, 2)[0].end >= 1);
    CHECK(split_receivers(graph, 2)[0].end <= 5);
    const std::vector<RowRange> none = split_receivers(GraphView{}, 3);
    CHECK(none.size() == 3);
    CHECK(none[2].empty());
}

TEST_CASE("even splits") {
    CHECK(split_evenly(7, 3) == std::vector<RowRange>{{0, 3}, {3, 5}, {5, 7}});
    CHECK(split_evenly(0, 2) == std::vector<RowRange>{{0, 0}, {0, 0}});
}

TEST_CASE("any number of threads gives results within the bound") {
    if (!have_llvm_backend()) return;
    Engine engine(memory_only());
    for (const char* const json : {convolution, shared_weights}) {
        const Problem problem = parse_problem(json);
        for (const int order : {0, 1, 2, 3}) {
            const auto program = engine.compile(problem, {order, {}, {}}, engine.target("cpu"));
            for (const int threads : {1, 2, 3, 16}) {
                for (const auto& [edges, nodes] : {std::pair{200, 20}, {3, 20}, {1000, 3}, {0, 5}, {0, 0}}) {
                    CAPTURE(order);
                    CAPTURE(threads);
                    CAPTURE(edges);
                    check_all(*program, {.edges = edges, .nodes = nodes, .seed = 3}, threads);
                }
            }
        }
    }
}

TEST_CASE("the same number of threads gives the same bits") {
    if (!have_llvm_backend()) return;
    Engine engine(memory_only());
    const Problem problem = parse_problem(convolution);
    const auto program = engine.compile(problem, {1, {}, {}}, engine.target("cpu"));
    const Sample sample =
        random_sample(problem, operands_of(problem, program->request()), {.edges = 500, .nodes = 30, .seed = 4});
    const Tensors first = run_on_cpu(*program, sample, 3);
    for (int i = 0; i < 5; ++i) CHECK(run_on_cpu(*program, sample, 3) == first);
}

TEST_CASE("threads may share a program") {
    if (!have_llvm_backend()) return;
    Engine engine(memory_only());
    const Problem problem = parse_problem(convolution);
    const auto program = engine.compile(problem, {1, {}, {}}, engine.target("cpu"));
    const Sample sample =
        random_sample(problem, operands_of(problem, program->request()), {.edges = 300, .nodes = 10, .seed = 5});
    const Tensors expected = run_on_cpu(*program, sample, 2);
    std::atomic<int> wrong{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
        threads.emplace_back([&] {
            for (int i = 0; i < 10; ++i) wrong += run_on_cpu(*program, sample, 2) != expected;
        });
    }
    for (std::thread& thread : threads) thread.join();
    CHECK(wrong == 0);
}

TEST_CASE("many threads ask, one compiles") {
    if (!have_llvm_backend()) return;
    const TemporaryDirectory directory;
    Engine engine(options_for(directory));
    const Problem problem = parse_problem(convolution);
    const Target target = engine.target("cpu");
    std::vector<std::shared_ptr<Program>> programs(8);
    std::vector<std::thread> threads;
    for (auto& program : programs) threads.emplace_back([&] { program = engine.compile(problem, {0, {}, {}}, target); });
    for (std::thread& thread : threads) thread.join();
    for (const auto& program : programs) CHECK(program == programs[0]);
    CHECK(engine.store().counts().stored == static_cast<std::int64_t>(programs[0]->kernels().size()));
    CHECK(engine.compile(problem, {1, {}, {}}, target) != programs[0]);
}

TEST_CASE("a second process finds the kernels on disk") {
    if (!have_llvm_backend()) return;
    const TemporaryDirectory directory;
    const Problem problem = parse_problem(convolution);
    std::string key;
    for (const bool cached : {false, true}) {
        Engine engine(options_for(directory));
        const auto program = engine.compile(problem, {0, {}, {}}, engine.target("cpu"));
        CHECK(program->kernels()[0].cached == cached);
        if (cached) CHECK(program->kernels()[0].key == key);
        key = program->kernels()[0].key;
        check_all(*program, {}, 1);
    }
}

TEST_CASE("a damaged entry is compiled again") {
    if (!have_llvm_backend()) return;
    const TemporaryDirectory directory;
    const Problem problem = parse_problem(convolution);
    for (int round = 0; round < 2; ++round) {
        Engine engine(options_for(directory));
        const auto program = engine.compile(problem, {0, {}, {}}, engine.target("cpu"));
        CHECK_FALSE(program->kernels()[0].cached);
        check_all(*program, {}, 1);
        for (const StoredFile& file : engine.store().list())
            if (file.kind == "kernel") write_text(file.path, read_text(file.path).substr(1));
    }
}

TEST_CASE("a program outlives its engine") {
    if (!have_llvm_backend()) return;
    std::shared_ptr<Program> program;
    {
        Engine engine(memory_only());
        program = engine.compile(parse_problem(convolution), {0, {}, {}}, engine.target("cpu"));
    }
    check_all(*program, {}, 2);
}

TEST_CASE("the caller's mistakes are named") {
    if (!have_llvm_backend()) return;
    Engine engine(memory_only());
    const Problem problem = parse_problem(convolution);
    const auto program = engine.compile(problem, {0, {}, {}}, engine.target("cpu"));
    const Sample sample = random_sample(problem, operands_of(problem, program->request()), {.edges = 10, .nodes = 4, .seed = 1});
    HostOperands operands(program->operands(), sample);
    const ReceiverIndex index = receiver_index(sample.graph);
    const GraphView good = view_of(sample.graph, index);
    auto pointers = operands.pointers();
    const auto run = [&](const GraphView& graph) { program->run_cpu(pointers, graph, 1); };

    GraphView graph = good;
    graph.edges = -1;
    CHECK_THROWS_WITH_AS(run(graph), "the number of edges is -1; it must not be negative", UserError);
    graph = good;
    graph.row_ptr = nullptr;
    CHECK_THROWS_WITH_AS(run(graph), "row_ptr is null; a convolution needs the receiver index", UserError);
    graph = good;
    graph.edges = 9;
    CHECK_THROWS_WITH_AS(run(graph), "row_ptr runs from 0 to 10; it must run from 0 to the number of edges, 9", UserError);
    pointers[0] = static_cast<char*>(pointers[0]) + 1;
    CHECK_THROWS_WITH_AS(run(good), "the pointer of operand x is not aligned to 4 bytes", UserError);
    pointers[0] = nullptr;
    CHECK_THROWS_WITH_AS(run(good), "the pointer of operand x is null", UserError);
    pointers.pop_back();
    CHECK_THROWS_WITH_AS(run(good), "3 operand pointers were given; the program has 4 operands", UserError);
    CHECK_THROWS_AS(program->launch_cuda(operands.pointers(), good, nullptr), UserError);
    CHECK_THROWS_AS(engine.target("sm_91"), UserError);
    CHECK_THROWS_AS(engine.compile(problem, {4, {}, {}}, engine.target("cpu")), UserError);
    CHECK_THROWS_AS(engine.compile(problem, {0, {"d_x"}, {}}, engine.target("cpu")), UserError);
}

TEST_CASE("an output that nothing adds to is zero") {
    if (!have_llvm_backend()) return;
    Engine engine(memory_only());
    const Problem problem =
        parse_problem(R"({"irreps_in1": "2x0e", "irreps_in2": "0e", "irreps_out": "2x0e+3x1o", "instructions": []})");
    const auto program = engine.compile(problem, {0, {}, {}}, engine.target("cpu"));
    check_all(*program, {.edges = 5, .nodes = 3, .seed = 1}, 2);
}

TEST_CASE("a program nobody holds is released, its code is not compiled again") {
    if (!have_llvm_backend()) return;
    Engine engine(memory_only());
    const Problem problem = parse_problem(convolution);
    const Target target = engine.target("cpu");
    const std::weak_ptr<Program> released = engine.compile(problem, {0, {}, {}}, target);
    CHECK(released.expired());
    const auto first = engine.compile(problem, {0, {}, {}}, target), second = engine.compile(problem, {0, {}, {}}, target);
    CHECK(first == second);
}

TEST_CASE("what could not be made is tried again") {
    OnceMap<int> map;
    CHECK_THROWS_AS(map.get("key", []() -> std::shared_ptr<int> { throw CompileError("no"); }), CompileError);
    CHECK(*map.get("key", [] { return std::make_shared<int>(3); }) == 3);
    CHECK(*map.get("key", [] { return std::make_shared<int>(4); }) == 3);
}
