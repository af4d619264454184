// build: compiles into the cache, on machines with or without the device.
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <exception>
#include <functional>
#include <map>
#include <mutex>
#include <thread>

#include "ir/error.hpp"
#include "runtime/cache/binary.hpp"
#include "runtime/cache/entry.hpp"
#include "runtime/self_check.hpp"
#include "tools/flashtp_compile/command.hpp"
#include "tools/flashtp_compile/text.hpp"

namespace flashtp::tools {
namespace {

using Clock = std::chrono::steady_clock;

struct BuildOptions {
    std::vector<std::string> specs, targets{"cpu"};
    std::string cache, pack;
    std::vector<int> orders{0, 1, 2};
    RequestOptions request;
    std::int64_t edges = 0;
    int jobs = 0;
    bool check = false;
};

/// A layer for one target and order: found in the cache, or lowered and put together when its kernels are compiled.
struct Wanted {
    Problem problem;
    Request request;
    Target target;
    LoweringOptions options;
    Lowered lowered;
    std::shared_ptr<Program> program;  ///< null: to be compiled
};

/// A kernel to compile: what follows from lowering, which is quick and comes first.
struct Job {
    std::string title;
    const Kernel* kernel;
    std::size_t size = 0;  ///< of the source: a guess at how long it takes
};

/// A line a kernel, and on a terminal a bar below them that the next line overwrites.
class Progress {
  public:
    explicit Progress(std::size_t total) : total_(total), terminal_(::isatty(STDERR_FILENO) != 0) { draw(); }
    ~Progress() { erase(); }

    void line(std::FILE* stream, const std::string& text) {
        const std::lock_guard lock(mutex_);
        erase();
        fmt::print(stream, "{}\n", text);
        std::fflush(stream);
        ++done_;
        draw();
    }

  private:
    void erase() const {
        if (terminal_) fmt::print(stderr, "\r\033[K");
    }
    void draw() const {
        if (!terminal_ || total_ == 0 || done_ == total_) return;
        constexpr std::size_t width = 40;
        const std::size_t filled = width * done_ / total_;
        fmt::print(stderr, "[{}{}] {}/{}", std::string(filled, '#'), std::string(width - filled, '.'), done_, total_);
        std::fflush(stderr);
    }

    std::size_t total_, done_ = 0;
    bool terminal_;
    std::mutex mutex_;
};

std::vector<Wanted> wanted(Engine& engine, const BuildOptions& options) {
    std::vector<Wanted> all;
    const LoweringOptions lowering = lowering_options(options.request);
    const SizeClass size = size_class(options.edges);
    for (const Problem& problem : load_layers(options.specs, options.request)) {
        for (const std::string& name : options.targets) {
            const Target target = engine.target(name);
            for (const int order : options.orders) {
                const Request request = request_of(options.request, order);
                Wanted& one = all.emplace_back(problem, request, target, engine.tuned(problem, request, target, lowering, size));
                one.program = engine.find(problem, request, target, one.options);
                if (!one.program) one.lowered = lower(problem, request, target, one.options);
            }
        }
    }
    return all;
}

std::string title_of(const Wanted& one, const std::string& kernel) {
    return fmt::format("{} {} {}", one.target.name, one.problem.name, kernel);
}

std::vector<Job> jobs_of(Engine& engine, const std::vector<Wanted>& all) {
    std::vector<Job> jobs;
    for (const Wanted& one : all) {
        for (const Kernel& kernel : one.lowered.kernels)
            jobs.push_back({title_of(one, kernel.name), &kernel, engine.source(kernel).size()});
    }
    // The longest first, so that no thread is left with one at the end.
    std::ranges::stable_sort(jobs, std::greater(), &Job::size);
    return jobs;
}

std::string line_of(const std::string& title, const CompiledKernel& compiled, double seconds) {
    const Artifact& artifact = *compiled.artifact;
    const std::string time = compiled.cached ? "cached" : fmt::format("{:.2f} s", seconds);
    // Where the compiler does not say, nothing is claimed.
    const bool counted = artifact.registers > 0;
    return fmt::format("{}  {:>7}  {:>3} registers  {:>6} B spilled  {:>9} bytes  {}", compiled.key.substr(0, 12), time,
                       counted ? fmt::to_string(artifact.registers) : "-", counted ? grouped(artifact.spill_bytes) : "-",
                       grouped(static_cast<std::int64_t>(artifact.code.size())), title);
}

/// Returns whether it compiled.
bool build(Engine& engine, const Job& job, Progress& progress) {
    const auto start = Clock::now();
    try {
        const CompiledKernel compiled = engine.compile(*job.kernel);
        progress.line(stdout, line_of(job.title, compiled, std::chrono::duration<double>(Clock::now() - start).count()));
        return true;
    } catch (const std::exception& error) {
        progress.line(stderr, fmt::format("flashtp-compile: {}: {}", job.title, error.what()));
        return false;
    }
}

void print_found(const Wanted& one, Progress& progress) {
    if (!one.program) return;
    const auto& kernels = one.program->kernels();
    for (std::size_t k = 0; k < kernels.size(); ++k)
        progress.line(stdout, line_of(title_of(one, one.program->plan().kernels[k].name), kernels[k], 0));
}

std::size_t build_all(Engine& engine, const std::vector<Job>& jobs, int threads, Progress& progress) {
    std::atomic<std::size_t> next{0}, failed{0};
    const auto work = [&] {
        for (std::size_t j = next++; j < jobs.size(); j = next++) failed += !build(engine, jobs[j], progress);
    };
    std::vector<std::thread> helpers;
    for (int i = 1; i < threads; ++i) helpers.emplace_back(work);
    work();
    for (std::thread& helper : helpers) helper.join();
    return failed;
}

/// All kernels are compiled: they are in memory.
void assemble(Engine& engine, Wanted& one) {
    if (one.program) return;
    std::vector<CompiledKernel> kernels;
    for (const Kernel& kernel : one.lowered.kernels) kernels.push_back(engine.compile(kernel));
    one.program = engine.assemble(one.problem, one.request, one.target, one.options, one.lowered, std::move(kernels));
}

/// Every program whose target runs here, against the oracle; the verdicts go into the cache. Returns how many failed.
std::size_t check_all(Engine& engine, std::vector<Wanted>& all) {
    std::size_t checked = 0, failed = 0;
    for (const Wanted& one : all) {
        if (!runs_here(one.target)) continue;
        ++checked;
        try {
            engine.self_check(*one.program);
        } catch (const CompileError& error) {
            ++failed;
            fmt::print(stderr, "flashtp-compile: {} {}: {}\n", one.target.name, one.problem.name, error.what());
        }
    }
    fmt::print("{} programs compared with the oracle, {} failed\n", checked, failed);
    return failed;
}

/// What belongs to this build, whatever else the cache has.
void write_pack(Engine& engine, const std::vector<Wanted>& all, const std::string& path) {
    std::map<std::string, std::vector<std::uint8_t>> entries;
    for (const Wanted& one : all) {
        for (PackEntry& entry : engine.entries(*one.program)) entries.try_emplace(entry.name, std::move(entry.bytes));
    }
    std::vector<PackEntry> list;
    for (auto& [name, bytes] : entries) list.push_back({name, std::move(bytes)});
    write_output(path, text_of(pack_bytes(std::move(list))));
}

int run(const BuildOptions& options) {
    const auto start = Clock::now();
    const auto seconds = [&] { return std::chrono::duration<double>(Clock::now() - start).count(); };
    Engine engine(engine_options(options.cache));
    std::vector<Wanted> all = wanted(engine, options);
    const std::vector<Job> jobs = jobs_of(engine, all);
    const double lowering = seconds();
    std::size_t kernels = jobs.size();
    for (const Wanted& one : all) kernels += one.program ? one.program->kernels().size() : 0;
    Progress progress(kernels);
    for (const Wanted& one : all) print_found(one, progress);
    const int threads = std::min<int>(options.jobs > 0 ? options.jobs : default_threads(), static_cast<int>(jobs.size()));
    std::size_t failed = build_all(engine, jobs, threads, progress);
    if (failed == 0) {
        for (Wanted& one : all) assemble(engine, one);
        if (options.check) failed = check_all(engine, all);
        if (failed == 0 && !options.pack.empty()) write_pack(engine, all, options.pack);
    }
    const std::string& place = engine.store().directory().string();
    fmt::print("{} kernels in {:.2f} s (look-up and lowering {:.3f} s, {} jobs), cache {}\n", kernels, seconds(), lowering,
               std::max(threads, 1), place.empty() ? "off" : place);
    if (!place.empty()) fmt::print("{}", cache_line(engine.store()));
    if (failed > 0) fmt::print(stderr, "flashtp-compile: {} of {} kernels did not compile\n", failed, kernels);
    const bool stored = place.empty() || engine.store().counts().store_failures == 0;
    if (!stored) fmt::print(stderr, "flashtp-compile: the cache {} could not be written\n", place);
    return failed == 0 && stored ? exit_done : exit_failed;
}

}  // namespace

void add_build(CLI::App& app, int& result) {
    auto options = std::make_shared<BuildOptions>();
    CLI::App* command =
        add_command(app, "build", "Compile layers into the kernel cache; needs no GPU.",
                    "flashtp-compile build examples/specs/sevennet-l3i5.json --target sm_90a,sm_100,cpu --orders 0,1,2 -j 8",
                    options, &run, result);
    add_specs(*command, options->specs);
    command->add_option("--target", options->targets, "cpu, cpu:NAME, cuda or architectures such as sm_90a; a list")
        ->delimiter(',')
        ->capture_default_str();
    add_orders(*command, options->orders);
    command->add_option("-j,--jobs", options->jobs, "kernels compiled at a time; default: all cores")->check(CLI::Range(1, 1024));
    add_graph_size(*command, options->edges);
    command->add_flag("--check", options->check,
                      "also compare with the oracle, where the target runs here, and keep the verdict");
    command->add_option("--pack", options->pack, "write the kernels of this build to a pack");
    add_cache_directory(*command, options->cache);
    add_request_options(*command, options->request);
}

}  // namespace flashtp::tools
