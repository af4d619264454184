// bench: time, bytes and operations against what the device at hand can do.
#include <algorithm>
#include <cstdio>
#include <map>

#include <nlohmann/json.hpp>

#include "ir/error.hpp"
#include "runtime/cost.hpp"
#include "tools/flashtp_compile/bench_run.hpp"
#include "tools/flashtp_compile/command.hpp"
#include "tools/flashtp_compile/measure.hpp"
#include "tools/flashtp_compile/text.hpp"

namespace flashtp::tools {
namespace {

struct BenchOptions {
    std::vector<std::string> specs;
    std::string target = "cpu", cache;
    std::vector<int> orders{0, 1, 2};
    RequestOptions request;
    BenchGraph graph;
    int threads = 0;
    bool json = false, thread_time = false;
};

struct Result {
    std::string layer;
    int order = 0;
    double seconds = 0;
    Cost cost;
    Peak peak;

    double copy_fraction() const { return cost.bytes / seconds / peak.copied_bytes; }
    double fma_fraction() const { return cost.multiply_adds / seconds / peak.multiply_adds; }
    /// The time neither memory nor arithmetic allows to beat, as a part of the time it took.
    double roofline_fraction() const { return std::max(copy_fraction(), fma_fraction()); }
};

/// Graphs of the size at which a device is busy.
BenchGraph graph_of(const BenchOptions& options, bool cuda) {
    BenchGraph graph = options.graph;
    if (graph.edges < 0) graph.edges = cuda ? 131'072 : 2'048;
    if (graph.nodes < 0) graph.nodes = std::max<std::int64_t>(1, graph.edges / (cuda ? 64 : 32));
    return graph;
}

void print(const BenchOptions& options, const BenchGraph& graph, const Target& target, const std::vector<Result>& results) {
    Table table({"layer", "order", "time", "bytes", "rate", "of copy", "FLOPs", "rate", "of FMA", "roofline"});
    const auto percent = [](double fraction) { return fmt::format("{:.1f} %", 100 * fraction); };
    for (const Result& r : results) {
        table.add({r.layer, fmt::to_string(r.order), duration(r.seconds), scaled(r.cost.bytes, "B"),
                   scaled(r.cost.bytes / r.seconds, "B/s"), percent(r.copy_fraction()), scaled(2 * r.cost.multiply_adds, ""),
                   scaled(2 * r.cost.multiply_adds / r.seconds, "FLOP/s"), percent(r.fma_fraction()),
                   percent(r.roofline_fraction())});
    }
    fmt::print("{} edges, {} nodes, {} edges, target {}", grouped(graph.edges), grouped(graph.nodes),
               graph.sorted ? "sorted" : "unsorted", target.name);
    if (target.platform == Platform::cpu) fmt::print(", {} threads", options.threads);
    fmt::print("\n");
    if (!results.empty()) {
        fmt::print("measured here: copy {}, FMA {}\n", scaled(results[0].peak.copied_bytes, "B/s"),
                   scaled(2 * results[0].peak.multiply_adds, "FLOP/s"));
    }
    fmt::print("{}", table.text());
}

nlohmann::json to_json(const Result& r) {
    return {{"layer", r.layer},
            {"order", r.order},
            {"seconds", r.seconds},
            {"bytes", r.cost.bytes},
            {"flops", 2 * r.cost.multiply_adds},
            {"copy_bytes_per_second", r.peak.copied_bytes},
            {"fma_flops_per_second", 2 * r.peak.multiply_adds},
            {"copy_fraction", r.copy_fraction()},
            {"fma_fraction", r.fma_fraction()},
            {"roofline_fraction", r.roofline_fraction()}};
}

int run(const BenchOptions& given) {
    BenchOptions options = given;
    const std::vector<Problem> layers = load_layers(options.specs, options.request);
    Engine engine(engine_options(options.cache, options.threads));
    options.threads = engine.threads();
    if (options.thread_time && options.threads != 1) user_error("--thread-time counts one thread: it needs --threads 1");
    const Stopwatch stopwatch = options.thread_time ? Stopwatch::thread : Stopwatch::wall;
    const Target target = engine.target(options.target);
    const bool cuda = target.platform == Platform::cuda;
    const BenchGraph graph = graph_of(options, cuda);
    if (graph.edges > 0 && graph.nodes == 0) user_error("--edges {} need at least one node", graph.edges);
    std::map<DType, Peak> peaks;
    std::vector<Result> results;
    for (const Problem& problem : layers) {
        if (!peaks.contains(problem.dtype)) {
            peaks[problem.dtype] = cuda ? measure_cuda(problem.dtype, target) : measure_cpu(problem.dtype, options.threads, stopwatch);
        }
        for (const int order : options.orders) {
            const Request request = request_of(options.request, order);
            const auto program = engine.compile(problem, request, target, lowering_options(options.request));
            const double seconds = cuda ? CudaBench(*program, graph).time(*program) : time_on_cpu(*program, graph, options.threads, stopwatch);
            results.push_back({problem.name, order, seconds, cost_of(*program, graph.edges, graph.nodes), peaks[problem.dtype]});
        }
    }
    if (!options.json) {
        print(options, graph, target, results);
        return exit_done;
    }
    nlohmann::json json{{"target", target.name},
                        {"edges", graph.edges},
                        {"nodes", graph.nodes},
                        {"sorted", graph.sorted},
                        {"results", nlohmann::json::array()}};
    if (!cuda) json["threads"] = options.threads;
    for (const Result& result : results) json["results"].push_back(to_json(result));
    fmt::print("{}\n", json.dump(2));
    return exit_done;
}

}  // namespace

void add_bench(CLI::App& app, int& result) {
    auto options = std::make_shared<BenchOptions>();
    CLI::App* command =
        add_command(app, "bench", "Time kernels against the measured limits of this device.",
                    "flashtp-compile bench examples/specs/sevennet-l3i5.json:2 --target cpu --orders 0,1,2 --threads 2", options,
                    &run, result);
    add_specs(*command, options->specs);
    command->add_option("--target", options->target, "cpu or cuda")->capture_default_str();
    add_orders(*command, options->orders);
    command->add_option("--edges", options->graph.edges, "default: 2,048 on a CPU, 131,072 on a GPU")
        ->check(CLI::Range(0, 1 << 30));
    command->add_option("--nodes", options->graph.nodes, "default: 32 (CPU) or 64 (GPU) edges a node")
        ->check(CLI::Range(0, 1 << 30));
    command->add_flag("--sorted,!--unsorted", options->graph.sorted, "edges in order of their receivers (the default)");
    command->add_option("--threads", options->threads, "of a run on the CPU; default: all cores")->check(CLI::Range(1, 1024));
    command->add_flag("--thread-time", options->thread_time,
                      "with --threads 1 on a CPU: count only the time the thread ran, for machines that others use");
    command->add_flag("--json", options->json, "results as JSON");
    add_cache_directory(*command, options->cache);
    add_request_options(*command, options->request);
}

}  // namespace flashtp::tools
