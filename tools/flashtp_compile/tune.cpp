// tune: measures the schedules around the default one on this device, and keeps the winners in the cache.
#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdio>
#include <functional>
#include <set>
#include <thread>

#include "ir/error.hpp"
#include "runtime/self_check.hpp"
#include "tools/flashtp_compile/bench_run.hpp"
#include "tools/flashtp_compile/command.hpp"
#include "tools/flashtp_compile/measure.hpp"
#include "tools/flashtp_compile/text.hpp"

namespace flashtp::tools {
namespace {

struct TuneOptions {
    std::vector<std::string> specs;
    std::string target = "cuda", cache;
    std::vector<int> orders{0, 1, 2};
    std::vector<std::int64_t> edges;
    RequestOptions request;
    int edges_per_node = 64, jobs = 0, shown = 6;
    bool wide = false, again = false;
};

/// A schedule must be this much faster than the default one to take its place: less is noise.
constexpr double least_gain = 1.02;

struct Candidate {
    ScheduleKnobs knobs;
    std::shared_ptr<Program> program;  ///< null: it could not be compiled
    double seconds = INFINITY;
};

/// Changes one knob, or two that trade against each other, at a time.
std::vector<ScheduleKnobs> neighbours(const ScheduleKnobs& start, bool wide) {
    std::vector<ScheduleKnobs> all{start};
    const auto vary = [&](auto member, auto... values) {
        for (std::size_t i = 0, n = wide ? all.size() : 1; i < n; ++i) {
            for (const auto value : {values...}) {
                ScheduleKnobs knobs = all[i];
                knobs.*member = value;
                all.push_back(knobs);
            }
        }
    };
    vary(&ScheduleKnobs::min_blocks, 1, 2, 3, 4);
    vary(&ScheduleKnobs::register_budget, start.register_budget - 60, start.register_budget - 30, start.register_budget + 40);
    vary(&ScheduleKnobs::stage_bytes, std::int64_t{0}, start.stage_bytes / 2, start.stage_bytes * 2);
    vary(&ScheduleKnobs::sums_through_shared, !start.sums_through_shared);
    vary(&ScheduleKnobs::stages, 2, 3);
    vary(&ScheduleKnobs::max_channels_per_lane, 1, 2);
    vary(&ScheduleKnobs::rows_per_warp, 1, 2, 4);
    vary(&ScheduleKnobs::warps_per_block, 2, 8);
    all.push_back(start);  // one block a multiprocessor, whose warps run the same instructions
    all.back().warps_per_block = std::min(16, start.warps_per_block * start.min_blocks);
    all.back().min_blocks = 1;
    vary(&ScheduleKnobs::prefetch, 0, start.prefetch + 4);
    if (!wide) vary(&ScheduleKnobs::matrix_warps, 16, 24, 32, 48);  // instead of blocks
    return all;
}

std::string text_of(const ScheduleKnobs& k) {
    return fmt::format("channels {} registers {}{} stages {} x {} B warps {} blocks {} (matrices: {} warps) rows {}",
                       k.max_channels_per_lane, k.register_budget, k.sums_through_shared ? " shared sums" : "", k.stages, k.stage_bytes,
                       k.warps_per_block, k.min_blocks, k.matrix_warps, k.rows_per_warp);
}

/// Those whose kernels differ.
std::vector<Candidate> candidates(const Problem& problem, const Request& request, const Target& target, const TuneOptions& options,
                                  SizeClass size) {
    std::vector<Candidate> all;
    std::set<std::string> seen;
    for (const ScheduleKnobs& knobs : neighbours(default_knobs(target, request, problem.dtype, size), options.wide)) {
        LoweringOptions lowering = lowering_options(options.request);
        lowering.knobs = knobs;
        std::string text = fmt::format("{} ", knobs.rows_per_warp);
        for (const Kernel& kernel : lower(problem, request, target, lowering).kernels) text += to_string(kernel);
        if (seen.insert(std::move(text)).second) all.push_back({knobs, nullptr});
    }
    return all;
}

void compile_all(Engine& engine, const Problem& problem, const Request& request, const Target& target, const TuneOptions& options,
                 std::vector<Candidate>& all) {
    std::atomic<std::size_t> next{0};
    const auto work = [&] {
        for (std::size_t i; (i = next++) < all.size();) {
            LoweringOptions lowering = lowering_options(options.request);
            lowering.knobs = all[i].knobs;
            try {
                all[i].program = engine.compile(problem, request, target, lowering);
            } catch (const CompileError&) {
                // Beyond what the device offers; it is shown as such.
            }
            fmt::print(stderr, "\rcompiled {} of {}", std::min(next.load(), all.size()), all.size());
        }
    };
    const unsigned jobs = options.jobs > 0 ? static_cast<unsigned>(options.jobs) : std::max(1u, std::thread::hardware_concurrency());
    std::vector<std::jthread> threads;
    for (unsigned i = 0; i < jobs; ++i) threads.emplace_back(work);
    threads.clear();
    fmt::print(stderr, "\r");
}

/// Seconds of a run of a program with so many edges.
using Measure = std::function<double(const Program&)>;

Measure measure_at(const Engine& engine, const Program& any, std::int64_t edges, int edges_per_node) {
    const BenchGraph graph{edges, std::max<std::int64_t>(1, edges / edges_per_node), true};
    if (any.target().platform == Platform::cpu)
        return [=, &engine](const Program& program) { return time_on_cpu(program, graph, {engine.threads()}, Stopwatch::wall).front(); };
    const auto bench = std::make_shared<CudaBench>(any, graph);
    return [bench](const Program& program) { return bench->time(program).seconds; };
}

void measure(const Engine& engine, std::vector<Candidate>& all, std::int64_t edges, const TuneOptions& options) {
    const auto compiled = std::ranges::find_if(all, [](const Candidate& c) { return c.program != nullptr; });
    if (compiled == all.end()) throw CompileError("none of the schedules could be compiled");
    const Measure seconds = measure_at(engine, *compiled->program, edges, options.edges_per_node);
    for (Candidate& c : all) {
        try {
            if (c.program) c.seconds = seconds(*c.program);
        } catch (const DeviceError&) {
            // Beyond what the device offers: never the fastest.
        }
    }
}

/// The fastest, unless the default is as good.
TunedSchedule winner(const std::vector<Candidate>& all, std::int64_t edges, const Target& target) {
    const auto best = std::ranges::min_element(all, {}, &Candidate::seconds);
    const double gain = all[0].seconds / best->seconds;
    const std::string where = target.device.empty() ? target.name : target.device;
    const std::string measured = fmt::format("{}, {} edges: {:.2f} times as fast as the default", where, edges, gain);
    if (gain < least_gain) return {{}, fmt::format("{}, {} edges: the default is the best of {}", where, edges, all.size())};
    return {best->knobs, measured};
}

void print(const Problem& problem, int order, std::int64_t edges, const std::vector<Candidate>& all, int shown) {
    std::vector<const Candidate*> order_of_time;
    for (const Candidate& c : all) order_of_time.push_back(&c);
    std::ranges::stable_sort(order_of_time, {}, [](const Candidate* c) { return c->seconds; });
    fmt::print("{} order {}, {} edges: the default takes {}, {:.2f} times the best of {}\n", problem.name, order, grouped(edges),
               duration(all[0].seconds), all[0].seconds / order_of_time[0]->seconds, all.size());
    Table table({"time", "of default", "schedule"});
    for (int i = 0; i < std::min<int>(shown, static_cast<int>(order_of_time.size())); ++i) {
        const Candidate& c = *order_of_time[static_cast<std::size_t>(i)];
        table.add({duration(c.seconds), fmt::format("{:.3f}", c.seconds / all[0].seconds), text_of(c.knobs)});
    }
    fmt::print("{}", table.text());
}

void tune(Engine& engine, const Problem& problem, const Request& request, const Target& target, std::int64_t edges,
          const TuneOptions& options) {
    const SizeClass size = size_class(edges);
    const auto found = options.again ? std::nullopt : engine.find_tuned(problem, request, target, size);
    if (found) {
        fmt::print("{} {}, {} graphs: known: {}\n", problem.name, to_string(request), to_string(size), found->measured);
        return;
    }
    std::vector<Candidate> all = candidates(problem, request, target, options, size);
    compile_all(engine, problem, request, target, options, all);
    measure(engine, all, edges, options);
    print(problem, request.order, edges, all, options.shown);
    engine.save_tuned(problem, request, target, size, winner(all, edges, target));
}

int run(const TuneOptions& given) {
    TuneOptions options = given;
    const std::vector<Problem> layers = load_layers(options.specs, options.request);
    Engine engine(engine_options(options.cache));
    const Target target = engine.target(options.target);
    if (!runs_here(target)) user_error("--target {} does not run on this machine", options.target);
    if (options.edges.empty()) options.edges = {target.platform == Platform::cuda ? 131'072 : 2'048};
    for (const Problem& problem : layers) {
        for (const int order : options.orders)
            for (const std::int64_t edges : options.edges)
                tune(engine, problem, request_of(options.request, order), target, edges, options);
    }
    return exit_done;
}

}  // namespace

void add_tune(CLI::App& app, int& result) {
    auto options = std::make_shared<TuneOptions>();
    CLI::App* command = add_command(app, "tune", "Measure the schedules around the default one on this device; the cache keeps the winners.",
                                    "flashtp-compile tune examples/specs/sevennet-l3i5.json:2 --orders 0,1 --edges 2048,131072",
                                    options, &run, result);
    add_specs(*command, options->specs);
    command->add_option("--target", options->target, "cuda or cpu: this device")->capture_default_str();
    add_orders(*command, options->orders);
    command->add_option("--edges", options->edges, "sizes to measure at; default: 131,072 on a GPU, 2,048 on a CPU")
        ->delimiter(',')
        ->check(CLI::Range(1, 1 << 30));
    command->add_flag("--again", options->again, "measure what the cache has, too");
    command->add_option("--edges-per-node", options->edges_per_node, "of the graphs measured")->check(CLI::Range(1, 1 << 20))->capture_default_str();
    command->add_option("-j,--jobs", options->jobs, "kernels compiled at a time; default: all cores");
    command->add_option("--show", options->shown, "schedules to print")->capture_default_str();
    command->add_flag("--wide", options->wide, "all combinations instead of one change at a time; slow");
    add_cache_directory(*command, options->cache);
    add_request_options(*command, options->request);
}

}  // namespace flashtp::tools
