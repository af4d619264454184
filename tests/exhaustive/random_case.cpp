#include "tests/exhaustive/random_case.hpp"

#include <initializer_list>
#include <random>
#include <vector>

#include "compiler/derivative.hpp"
#include "compiler/expand_paths.hpp"

namespace flashtp::test {

namespace {

template <class T>
T one_of(std::mt19937_64& rng, std::initializer_list<T> choices) {
    return choices.begin()[draw(rng, static_cast<std::int64_t>(choices.size()))];
}

// Mostly small, for the time that compilers take; now and then large, or of a high degree.
RandomOptions draw_options(std::mt19937_64& rng) {
    RandomOptions options;
    options.max_l = one_of(rng, {1, 2, 2, 3, 3, 3, 3, 8});
    options.max_instructions = one_of(rng, {1, 2, 3, 4, 6});
    options.max_products = one_of<std::int64_t>(rng, {1000, 3000, 3000, 10'000});
    options.radial = draw_bool(rng, 0.2);
    if (options.radial) options.max_products = 1000;
    options.multiplicities = {1, 1, 2, 3, 4, 5, 8, 10, 32, 33, 64, 127, 128};
    return options;
}

std::vector<std::string> draw_subset(std::mt19937_64& rng, const std::vector<std::string>& names) {
    std::vector<std::string> chosen;
    for (const std::string& name : names)
        if (draw_bool(rng)) chosen.push_back(name);
    return chosen;
}

Request draw_request(std::mt19937_64& rng, const Problem& problem) {
    Request request;
    request.order = one_of(rng, {0, 0, 1, 1, 1, 2, 2, 2, 2, 3});
    if (draw_bool(rng, 0.4)) request.absent = draw_subset(rng, cotangents_of_order(request.order, forward_inputs()));
    if (draw_bool(rng, 0.6)) return request;
    const PathProgram whole = derivative(expand_paths(problem), request);
    std::vector<std::string> outputs;
    for (const Operand& operand : whole.operands)
        if (operand.role == Role::output) outputs.push_back(operand.name);
    request.outputs = draw_subset(rng, outputs);  // none: all
    return request;
}

GraphOptions draw_graph(std::mt19937_64& rng) {
    GraphOptions graph;
    graph.edges = one_of<std::int64_t>(rng, {0, 1, 2, 3, 5, 8, 13});
    graph.senders = 1 + draw(rng, 5);
    graph.receivers = 1 + draw(rng, 6);
    if (graph.edges == 0 && draw_bool(rng)) graph.senders = graph.receivers = 0;
    graph.sorted = draw_bool(rng);
    return graph;
}

Target draw_target(std::mt19937_64& rng) {
    const std::vector<Target>& gpus = cuda_targets();
    if (draw_bool(rng, 0.8)) return gpus[static_cast<std::size_t>(draw(rng, std::ssize(gpus)))];
    return cpu_target(one_of<std::string>(rng, {"x86-64-v2", "x86-64-v3", "x86-64-v4"}));
}

/// Half of the float32 problems store weights, harmonics or both in two bytes.
void draw_storage(std::mt19937_64& rng, Problem& problem, const Target& target) {
    if (problem.dtype != DType::float32 || draw_bool(rng)) return;
    // Without F16C, as in x86-64-v2, float16 is refused.
    const bool halves = target.name != "cpu:x86-64-v2";
    const auto two_bytes = [&] { return halves && draw_bool(rng) ? DType::float16 : DType::bfloat16; };
    if (draw_bool(rng, 0.7) && !problem.radial) problem.dtype_weights = two_bytes();
    if (draw_bool(rng)) problem.dtype_in2 = two_bytes();
}

ScheduleKnobs draw_knobs(std::mt19937_64& rng, ScheduleKnobs knobs) {
    knobs.max_channels_per_lane = one_of(rng, {1, 2, 4});
    knobs.stages = one_of(rng, {0, 1, 2, 3, 4});
    knobs.stage_bytes = one_of<std::int64_t>(rng, {0, 1000, 4000});
    knobs.sums_through_shared = one_of(rng, {false, true});
    knobs.register_budget = one_of(rng, {0, 10, 40, 160});
    knobs.operations_per_task = one_of(rng, {0, 20, 200});
    knobs.operations_per_kernel = one_of(rng, {0, 0, 10, 100});
    return knobs;
}

KernelRun draw_run(std::mt19937_64& rng, const RandomCase& drawn) {
    KernelRun run;
    run.options.general = draw_bool(rng, 0.25);
    if (draw_bool(rng, 0.3))
        run.options.factoring = one_of(rng, {Factoring::products, Factoring::coefficients, Factoring::weights_first});
    if (draw_bool(rng)) run.options.knobs = draw_knobs(rng, default_knobs(drawn.target, drawn.request, drawn.problem.dtype));
    run.rows_per_warp = one_of(rng, {0, 1, 2, 3, 100});
    run.threads = one_of(rng, {1, 2, 3, 8});
    run.shares = one_of(rng, {0, 0, 1, 2, 3, 7});
    return run;
}

}  // namespace

RandomCase random_case(std::uint64_t seed) {
    std::mt19937_64 rng(seed);
    RandomCase drawn;
    drawn.problem = random_problem(rng, draw_options(rng));
    drawn.request = draw_request(rng, drawn.problem);
    drawn.graph = draw_graph(rng);
    drawn.target = draw_target(rng);
    drawn.run = draw_run(rng, drawn);
    draw_storage(rng, drawn.problem, drawn.target);
    return drawn;
}

}  // namespace flashtp::test
