// Tables of what kernels depend on: multiplicities, layouts, graphs, launch shapes, schedules.
#include <algorithm>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "tests/support/complaints.hpp"
#include "tests/support/cpu_kernel.hpp"
#include "tests/support/every_triple.hpp"
#include "tests/support/mode_problem.hpp"
#include "tests/support/run_kernel.hpp"

using namespace flashtp;
using namespace flashtp::test;

namespace {

/// One run of one request; `target` is null for this host.
struct Trial {
    Problem problem;
    Request request;
    GraphOptions graph;
    const Target* target = nullptr;
    KernelRun run;
};

std::string complaint_of(const Trial& t, Engine* engine) {
    const Experiment experiment(t.problem, t.request, t.graph, 11);
    return t.target ? complaint_interpreted(experiment, *t.target, t.run) : complaint_on_cpu(*engine, experiment, t.run);
}

/// Every n-th trial. Trials on this host need its back end.
void check(const std::vector<Trial>& trials, std::size_t every = 1) {
    const bool on_host = std::ranges::any_of(trials, [](const Trial& t) { return !t.target; });
    if (on_host && !have_llvm_backend()) return;
    Engine engine(memory_only());
    const auto complain = [&](std::int64_t n) { return complaint_of(trials[static_cast<std::size_t>(n) * every], &engine); };
    for (const std::string& text : complaints((std::ssize(trials) - 1) / static_cast<std::int64_t>(every) + 1, complain))
        FAIL_CHECK(text);
}

const GraphOptions few_edges{.edges = 4, .senders = 3, .receivers = 3, .sorted = false};

std::vector<const Target*> gpus() {
    std::vector<const Target*> all;
    for (const Target& target : cuda_targets()) all.push_back(&target);
    return all;
}

// ---- multiplicities and layouts

struct Shape {
    ConnectionMode mode;
    std::int64_t in1, in2 = 1, out = 1;
};

/// Around the number of lanes, and where a label has one channel only and so is no loop.
const std::vector<Shape> shapes = {
    {ConnectionMode::uvu, 1},           {ConnectionMode::uvu, 10, 3},       {ConnectionMode::uvu, 31},
    {ConnectionMode::uvu, 33},          {ConnectionMode::uvu, 127},         {ConnectionMode::uvu, 161, 2},
    {ConnectionMode::uvv, 1, 33},       {ConnectionMode::uvv, 3, 127},      {ConnectionMode::uvv, 5, 5},
    {ConnectionMode::uvw, 1, 1, 40},    {ConnectionMode::uvw, 33},          {ConnectionMode::uvw, 10, 3, 127},
    {ConnectionMode::uvw, 1},           {ConnectionMode::uvw, 2, 64, 3},    {ConnectionMode::uuw, 33, 33, 10},
    {ConnectionMode::uuw, 1, 1, 70},    {ConnectionMode::uuw, 10, 10, 127}, {ConnectionMode::uuu, 1},
    {ConnectionMode::uuu, 33},          {ConnectionMode::uuu, 129},         {ConnectionMode::uvuv, 1},
    {ConnectionMode::uvuv, 33, 10},     {ConnectionMode::uvuv, 2, 127},     {ConnectionMode::uvu_lt_v, 2},
    {ConnectionMode::uvu_lt_v, 9},      {ConnectionMode::uvu_lt_v, 33},     {ConnectionMode::u_lt_vw, 2},
    {ConnectionMode::u_lt_vw, 3, 3, 3}, {ConnectionMode::u_lt_vw, 33, 33},  {ConnectionMode::u_lt_vw, 4, 4, 127},
};

Problem problem_of(const Shape& shape, DType dtype, bool shared) {
    ModeProblem what;
    what.mode = shape.mode;
    what.shared_weights = shared;
    what.max_l = 1;
    what.in1 = shape.in1;
    what.in2 = shape.in2;
    what.out = shape.out;
    what.dtype = dtype;
    return mode_problem(what);
}

void set_layouts(Problem& problem, Layout layout) { problem.layout_in1 = problem.layout_in2 = problem.layout_out = layout; }

/// Each shape with both layouts, weightings, row maps, dtypes and orders on the targets.
std::vector<Trial> shape_trials(const std::vector<const Target*>& targets) {
    std::vector<Trial> trials;
    for (const Shape& shape : shapes)
        for (const Layout layout : {Layout::mul_ir, Layout::ir_mul})
            for (const DType dtype : {DType::float32, DType::float64})
                for (int order = 0; order <= 2; ++order)
                    for (const Target* target : targets) {
                        Trial t{problem_of(shape, dtype, trials.size() % 5 == 0), {order, {}, {}}, few_edges, target, {}};
                        set_layouts(t.problem, layout);
                        t.problem.convolution = trials.size() % 4 != 0;
                        trials.push_back(std::move(t));
                    }
    return trials;
}

// ---- graphs and launches

Problem small_layer(DType dtype) {
    Problem problem = uvu_layer("33x0e+32x1o+2x2e", "1x0e+1x1o+1x2e");
    problem.dtype = dtype;
    return problem;
}

const std::vector<GraphOptions> graphs = {
    {.edges = 0, .senders = 0, .receivers = 0},   {.edges = 0, .senders = 2, .receivers = 3},
    {.edges = 1, .senders = 1, .receivers = 1},   {.edges = 40, .senders = 3, .receivers = 2},
    {.edges = 64, .senders = 9, .receivers = 30}, {.edges = 33, .senders = 40, .receivers = 1},
};

/// Rows a warp in the interpreter, threads on this host.
std::vector<Trial> graph_trials(const std::vector<const Target*>& targets, const std::vector<int>& spreads) {
    std::vector<Trial> trials;
    for (GraphOptions graph : graphs)
        for (graph.sorted = false; const int spread : spreads)
            for (int order = 0; order <= 2; ++order)
                for (const Target* target : targets) {
                    const DType dtype = trials.size() % 5 < 3 ? DType::float32 : DType::float64;
                    KernelRun run{.options = {}, .rows_per_warp = spread, .threads = spread};
                    if (trials.size() % 2) run.shares = 1 + spread;
                    graph.sorted = !graph.sorted;
                    trials.push_back({small_layer(dtype), {order, {}, {}}, graph, target, run});
                }
    return trials;
}

std::vector<Trial> layer_trials(const std::vector<const Target*>& targets) {
    std::vector<Trial> trials;
    for (Problem layer : {sevennet_l3i5_layer(), nequip_l3_layer(), mace_large_layer()})
        for (const DType dtype : {DType::float32, DType::float64})
            for (int order = 0; order <= 2; ++order)
                for (const Target* target : targets) {
                    layer.dtype = dtype;
                    trials.push_back({layer, {order, {}, {}}, graphs[3 + trials.size() % 2], target, {}});
                }
    return trials;
}

// ---- schedules

std::vector<ScheduleKnobs> knob_table(const ScheduleKnobs& start) {
    std::vector<ScheduleKnobs> all;
    for (const int channels : {1, 2, 4})
        for (const int stages : {0, 1, 2, 4})
            for (const int budget : {0, 40})
                for (const std::int64_t bytes : {0, 2000}) {
                    ScheduleKnobs knobs = start;
                    knobs.max_channels_per_lane = channels;
                    knobs.stages = stages;
                    knobs.register_budget = budget;
                    knobs.stage_bytes = bytes;
                    all.push_back(knobs);
                }
    return all;
}

std::vector<Trial> knob_trials() {
    std::vector<Trial> trials;
    for (const DType dtype : {DType::float32, DType::float64})
        for (int order = 0; order <= 2; ++order)
            for (const Target* target : gpus())
                for (const ScheduleKnobs& knobs : knob_table(default_knobs(*target, {order, {}, {}}, dtype))) {
                    Trial t{uvu_layer("130x0e+64x1o", "1x0e+2x1o"), {order, {}, {}}, few_edges, target, {}};
                    t.problem.dtype = dtype;
                    t.run.options.knobs = knobs;
                    t.run.rows_per_warp = 2;
                    trials.push_back(std::move(t));
                }
    return trials;
}

Lowered lowered(const Problem& problem, int order, const Target& target) {
    return lower(problem, {order, {}, {}}, target, {});
}

/// The tasks of a schedule with the range of their channels cut after the first lanes.
Schedule with_tasks_split(const Schedule& schedule, int lanes) {
    Schedule split = schedule;
    split.tasks.clear();
    for (Task task : schedule.tasks) {
        const std::int64_t end = task.channel_end;
        if (task.lane_axis >= 0 && end - task.channel_begin > lanes) {
            task.channels_per_lane = 1;
            task.channel_end = task.channel_begin + lanes;
            split.tasks.push_back(task);
            task.channel_begin = task.channel_end;
            task.channel_end = end;
        }
        split.tasks.push_back(task);
    }
    return split;
}

/// Chunks one after the other in the same warp, inside the rows.
Schedule with_inner_chunks(Schedule schedule) {
    for (Task& task : schedule.tasks) {
        const auto chunk = std::ranges::find(task.loops, LoopKind::chunk, &Loop::kind);
        if (chunk != task.loops.end() && chunk + 1 != task.loops.end()) std::iter_swap(chunk, chunk + 1);
    }
    return schedule;
}

std::vector<Trial> trials_of_changed_schedules() {
    std::vector<Trial> trials;
    Problem problem = uvu_layer("130x0e+96x1o", "1x0e+1x1o");
    for (const Target* target : gpus())
        for (int order = 0; order <= 2; ++order)
            for (const bool convolution : {true, false}) {
                problem.convolution = convolution;
                const Schedule chosen = lowered(problem, order, *target).schedule;
                for (const Schedule& schedule : {with_tasks_split(chosen, target->lanes), with_inner_chunks(chosen)}) {
                    Trial t{problem, {order, {}, {}}, few_edges, target, {}};
                    t.run.options.schedule = parse_schedule(to_json(schedule));
                    trials.push_back(std::move(t));
                }
            }
    return trials;
}

// ---- degrees, requests

Problem degrees_up_to_8(DType dtype) {
    Problem problem;
    problem.irreps_in1 = Irreps::parse("2x8e+1x5o");
    problem.irreps_in2 = Irreps::parse("1x4e+2x8o");
    problem.irreps_out = Irreps::parse("2x8e+2x7o+4x0o+2x6o");
    problem.instructions = {{0, 0, 0, ConnectionMode::uvu, true, 1},
                            {0, 1, 1, ConnectionMode::uvw, true, 1},
                            {0, 1, 2, ConnectionMode::uvuv, false, 1},
                            {1, 0, 3, ConnectionMode::uvw, true, 1}};
    problem.dtype = dtype;
    return problem;
}

std::vector<Trial> degree_trials(const std::vector<const Target*>& targets, int last_order) {
    std::vector<Trial> trials;
    for (const Target* target : targets)
        for (const DType dtype : {DType::float32, DType::float64})
            for (int order = 0; order <= last_order; ++order)
                trials.push_back({degrees_up_to_8(dtype), {order, {}, {}}, few_edges, target, {}});
    return trials;
}

std::vector<std::string> subset(const std::vector<std::string>& names, unsigned bits) {
    std::vector<std::string> chosen;
    for (std::size_t n = 0; n < names.size(); ++n)
        if (bits >> n & 1) chosen.push_back(names[n]);
    return chosen;
}

/// Every subset of outputs, then every subset of absent cotangents.
std::vector<Trial> request_trials() {
    std::vector<Trial> trials;
    for (int order = 0; order <= 2; ++order)
        for (const bool shared : {false, true}) {
            Problem problem = mode_problem({.shared_weights = shared, .max_l = 1, .in1 = 33});
            const auto add = [&](const Request& request) {
                trials.push_back({problem, request, few_edges, gpus()[trials.size() % 3], {}});
            };
            const auto outputs = outputs_of_order(order), cotangents = cotangents_of_order(order);
            for (unsigned bits = 1; bits < 1u << outputs.size(); ++bits) add({order, subset(outputs, bits), {}});
            for (unsigned bits = 1; bits < 1u << cotangents.size(); ++bits) add({order, {}, subset(cotangents, bits)});
        }
    return trials;
}

const Buffer& buffer_of(const Kernel& kernel, const std::string& name) {
    return *std::ranges::find(kernel.buffers, name, &Buffer::name);
}

}  // namespace

TEST_CASE("kernels of any multiplicity, layout, row map, dtype and order, interpreted") { check(shape_trials(gpus()), 7); }
TEST_CASE("kernels on any graph with any number of rows a warp, interpreted") { check(graph_trials(gpus(), {1, 2, 7, 64}), 3); }
TEST_CASE("kernels on any graph with any number of threads") { check(graph_trials({nullptr}, {1, 2, 5, 16})); }
TEST_CASE("samples of layers of real models, interpreted") { check(layer_trials(gpus()), 11); }
TEST_CASE("kernels of any request, interpreted") { check(request_trials()); }
TEST_CASE("kernels of degrees up to 8, interpreted") { check(degree_trials(gpus(), 2)); }
TEST_CASE("kernels with any schedule knobs, interpreted") { check(knob_trials(), 13); }
TEST_CASE("kernels with schedules from outside, interpreted") { check(trials_of_changed_schedules()); }

TEST_SUITE("slow kernels") {
    TEST_CASE("all kernels of any multiplicity, layout, row map, dtype and order, interpreted") { check(shape_trials(gpus())); }
    TEST_CASE("kernels of any multiplicity, layout, row map, dtype and order on the CPU") { check(shape_trials({nullptr})); }
    TEST_CASE("all kernels on any graph with any number of rows a warp, interpreted") {
        check(graph_trials(gpus(), {1, 2, 7, 64}));
    }
    TEST_CASE("layers of real models, interpreted") { check(layer_trials(gpus())); }
    TEST_CASE("layers of real models on the CPU") { check(layer_trials({nullptr})); }
    TEST_CASE("kernels of degrees up to 8 on the CPU") { check(degree_trials({nullptr}, 2)); }
    TEST_CASE("kernels of degrees up to 8 at order 3, interpreted") { check(degree_trials(gpus(), 3)); }
    TEST_CASE("all kernels with any schedule knobs, interpreted") { check(knob_trials()); }
}

TEST_CASE("the launcher zeroes only what is added to or not written completely") {
    const Kernel forward = lowered(small_layer(DType::float32), 0, cuda_targets()[0]).kernels[0];
    CHECK_FALSE(buffer_of(forward, "z").zeroed);
    const Kernel backward = lowered(small_layer(DType::float32), 1, cuda_targets()[0]).kernels[0];
    CHECK(buffer_of(backward, "d_x").zeroed);
    CHECK_FALSE(buffer_of(backward, "d_w").zeroed);
}

TEST_CASE("lowering gives the same kernel every time") {
    for (int order = 0; order <= 2; ++order) {
        const Problem problem = every_triple(ConnectionMode::uvw, true, 2);
        CHECK(lowered(problem, order, cuda_targets()[0]).kernels == lowered(problem, order, cuda_targets()[0]).kernels);
    }
}

TEST_CASE("a wrong result is noticed") {
    Experiment experiment(small_layer(DType::float32), {1, {}, {}}, few_edges, 3);
    REQUIRE(deviation_interpreted(experiment, cuda_targets()[0]).ratio <= 1);
    experiment.inputs["y"].back() += 0.001;
    CHECK(deviation_interpreted(experiment, cuda_targets()[0]).ratio > 1);
}
