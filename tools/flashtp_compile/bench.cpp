// bench: time, bytes and operations against what the device at hand can do.
#include <algorithm>
#include <cstdio>
#include <map>
#include <set>

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
    std::vector<int> threads;
    bool json = false, thread_time = false;
};

struct Result {
    std::string layer;
    int order = 0, threads = 1;
    double seconds = 0, speed_up = 1;  ///< over the first number of threads
    double host_seconds = 0;           ///< of the call that launches a kernel on a GPU
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

void print(const BenchGraph& graph, const Target& target, const std::vector<Result>& results) {
    const bool cuda = target.platform == Platform::cuda;
    Table table(
        {"layer", "order", cuda ? "host" : "threads", "time", "speed-up", "bytes", "rate", "of copy", "FLOPs", "rate", "of FMA", "roofline"});
    const auto percent = [](double fraction) { return fmt::format("{:.1f} %", 100 * fraction); };
    for (const Result& r : results) {
        table.add({r.layer, fmt::to_string(r.order), cuda ? duration(r.host_seconds) : fmt::to_string(r.threads), duration(r.seconds),
                   fmt::format("{:.2f}", r.speed_up), scaled(r.cost.bytes, "B"), scaled(r.cost.bytes / r.seconds, "B/s"),
                   percent(r.copy_fraction()), scaled(2 * r.cost.multiply_adds, ""),
                   scaled(2 * r.cost.multiply_adds / r.seconds, "FLOP/s"), percent(r.fma_fraction()),
                   percent(r.roofline_fraction())});
    }
    fmt::print("{} edges, {} nodes, {} edges, target {}", grouped(graph.edges), grouped(graph.nodes),
               graph.sorted ? "sorted" : "unsorted", target.name);
    fmt::print("\n");
    std::set<std::string> peaks;
    for (const Result& r : results)
        peaks.insert(fmt::format("measured here{}: copy {}, FMA {}\n",
                                 target.platform == Platform::cpu ? fmt::format(" on {} threads", r.threads) : "",
                                 scaled(r.peak.copied_bytes, "B/s"), scaled(2 * r.peak.multiply_adds, "FLOP/s")));
    for (const std::string& line : peaks) fmt::print("{}", line);
    fmt::print("{}", table.text());
}

nlohmann::json to_json(const Result& r) {
    return {{"layer", r.layer},
            {"order", r.order},
            {"threads", r.threads},
            {"seconds", r.seconds},
            {"speed_up", r.speed_up},
            {"host_seconds", r.host_seconds},
            {"bytes", r.cost.bytes},
            {"flops", 2 * r.cost.multiply_adds},
            {"copy_bytes_per_second", r.peak.copied_bytes},
            {"fma_flops_per_second", 2 * r.peak.multiply_adds},
            {"copy_fraction", r.copy_fraction()},
            {"fma_fraction", r.fma_fraction()},
            {"roofline_fraction", r.roofline_fraction()}};
}

/// Measures each peak once.
class Peaks {
  public:
    Peaks(const Target& target, Stopwatch stopwatch) : target_(target), stopwatch_(stopwatch) {}
    const Peak& of(DType dtype, int threads) {
        const auto [at, fresh] = known_.try_emplace({dtype, threads});
        if (fresh)
            at->second =
                target_.platform == Platform::cuda ? measure_cuda(dtype, target_) : measure_cpu(dtype, threads, stopwatch_);
        return at->second;
    }

  private:
    const Target& target_;
    Stopwatch stopwatch_;
    std::map<std::pair<DType, int>, Peak> known_;
};

int run(const BenchOptions& given) {
    BenchOptions options = given;
    const std::vector<Problem> layers = load_layers(options.specs, options.request);
    Engine engine(engine_options(options.cache));
    const Target target = engine.target(options.target);
    const bool cuda = target.platform == Platform::cuda;
    if (cuda) options.threads = {1};
    if (options.threads.empty()) options.threads = {engine.threads()};
    const Stopwatch stopwatch = options.thread_time ? Stopwatch::thread : Stopwatch::wall;
    const BenchGraph graph = graph_of(options, cuda);
    if (graph.edges > 0 && graph.nodes == 0) user_error("--edges {} need at least one node", graph.edges);
    Peaks peaks(target, stopwatch);
    std::vector<Result> results;
    for (const Problem& problem : layers) {
        for (const int order : options.orders) {
            const Request request = request_of(options.request, order);
            const auto program = engine.compile(problem, request, target, lowering_options(options.request), size_class(graph.edges));
            const Cost cost = cost_of(*program, graph.edges, graph.nodes);
            if (cuda) {
                const DeviceTime time = CudaBench(*program, graph).time(*program);
                results.push_back({problem.name, order, 1, time.seconds, 1, time.host_seconds, cost, peaks.of(problem.dtype, 1)});
                continue;
            }
            const std::vector<double> seconds = time_on_cpu(*program, graph, options.threads, stopwatch);
            for (std::size_t i = 0; i < seconds.size(); ++i)
                results.push_back({problem.name, order, options.threads[i], seconds[i], seconds[0] / seconds[i], 0, cost,
                                   peaks.of(problem.dtype, options.threads[i])});
        }
    }
    if (!options.json) {
        print(graph, target, results);
        return exit_done;
    }
    nlohmann::json json{{"target", target.name},
                        {"edges", graph.edges},
                        {"nodes", graph.nodes},
                        {"sorted", graph.sorted},
                        {"results", nlohmann::json::array()}};
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
    command
        ->add_option("--threads", options->threads,
                     "of a run on the CPU: a number, or several that take turns; default: all cores")
        ->delimiter(',')
        ->check(CLI::Range(1, 1024));
    command->add_flag("--thread-time", options->thread_time,
                      "on a CPU: count the time that threads ran, the longest of them, for machines that others use");
    command->add_flag("--profiled", options->graph.profiled,
                      "on a GPU: for ncu and compute-sanitizer, under which a launch waits for its kernel; times then include the host");
    command->add_flag("--json", options->json, "results as JSON");
    add_cache_directory(*command, options->cache);
    add_request_options(*command, options->request);
}

}  // namespace flashtp::tools
