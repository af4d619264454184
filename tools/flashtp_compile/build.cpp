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
    int jobs = 0;
    bool check = false;
};

/// A kernel to compile: what follows from lowering, which is quick and comes first.
struct Job {
    std::string title;
    Kernel kernel;
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

std::vector<Job> jobs_of(Engine& engine, const BuildOptions& options) {
    std::vector<Job> jobs;
    const LoweringOptions lowering = lowering_options(options.request);
    for (const Problem& problem : load_layers(options.specs, options.request)) {
        for (const std::string& name : options.targets) {
            const Target target = engine.target(name);
            for (const int order : options.orders) {
                Lowered lowered = lower_traced(problem, request_of(options.request, order), target, lowering);
                for (Kernel& kernel : lowered.kernels) {
                    const std::size_t size = engine.source(kernel).size();
                    jobs.push_back({fmt::format("{} {} {}", target.name, problem.name, kernel.name), std::move(kernel), size});
                }
            }
        }
    }
    // The longest first, so that no thread is left with one at the end.
    std::ranges::stable_sort(jobs, std::greater(), &Job::size);
    return jobs;
}

std::string line_of(const Job& job, const CompiledKernel& compiled, double seconds) {
    const Artifact& artifact = *compiled.artifact;
    const std::string time = compiled.cached ? "cached" : fmt::format("{:.2f} s", seconds);
    // Where the compiler does not say, nothing is claimed.
    const bool counted = artifact.registers > 0;
    return fmt::format("{}  {:>7}  {:>3} registers  {:>6} B spilled  {:>9} bytes  {}", compiled.key.substr(0, 12), time,
                       counted ? fmt::to_string(artifact.registers) : "-", counted ? grouped(artifact.spill_bytes) : "-",
                       grouped(static_cast<std::int64_t>(artifact.code.size())), job.title);
}

/// Returns whether it compiled.
bool build(Engine& engine, const Job& job, Progress& progress) {
    const auto start = Clock::now();
    try {
        const CompiledKernel compiled = engine.compile(job.kernel);
        progress.line(stdout, line_of(job, compiled, std::chrono::duration<double>(Clock::now() - start).count()));
        return true;
    } catch (const std::exception& error) {
        progress.line(stderr, fmt::format("flashtp-compile: {}: {}", job.title, error.what()));
        return false;
    }
}

std::size_t build_all(Engine& engine, const std::vector<Job>& jobs, int threads) {
    Progress progress(jobs.size());
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

/// Every program whose target runs here, against the oracle; the verdicts go into the cache. Returns how many failed.
std::size_t check_all(Engine& engine, const BuildOptions& options) {
    std::size_t checked = 0, failed = 0;
    for (const Problem& problem : load_layers(options.specs, options.request)) {
        for (const std::string& name : options.targets) {
            const Target target = engine.target(name);
            if (!runs_here(target)) continue;
            for (const int order : options.orders) {
                ++checked;
                try {
                    const Request request = request_of(options.request, order);
                    engine.self_check(*engine.compile(problem, request, target, lowering_options(options.request)));
                } catch (const CompileError& error) {
                    ++failed;
                    fmt::print(stderr, "flashtp-compile: {} {}: {}\n", target.name, problem.name, error.what());
                }
            }
        }
    }
    fmt::print("{} programs compared with the oracle, {} failed\n", checked, failed);
    return failed;
}

/// The kernels of this build, whatever else the cache has.
void write_pack(Engine& engine, const std::vector<Job>& jobs, const std::string& path) {
    std::map<std::string, std::vector<std::uint8_t>> entries;
    for (const Job& job : jobs) {
        const std::string source = engine.source(job.kernel);
        const Key key = engine.key(job.kernel, source);
        entries.try_emplace(key.hex(), to_bytes({key.text(), *engine.compile(job.kernel, source).artifact}));
    }
    std::vector<PackEntry> list;
    for (auto& [name, bytes] : entries) list.push_back({name, std::move(bytes)});
    write_output(path, text_of(pack_bytes(std::move(list))));
}

int run(const BuildOptions& options) {
    const auto start = Clock::now();
    Engine engine(engine_options(options.cache));
    const std::vector<Job> jobs = jobs_of(engine, options);
    const double lowering = std::chrono::duration<double>(Clock::now() - start).count();
    const int threads = std::min<int>(options.jobs > 0 ? options.jobs : default_threads(), static_cast<int>(jobs.size()));
    std::size_t failed = build_all(engine, jobs, threads);
    if (failed == 0 && options.check) failed = check_all(engine, options);
    if (failed == 0 && !options.pack.empty()) write_pack(engine, jobs, options.pack);
    const double total = std::chrono::duration<double>(Clock::now() - start).count();
    const std::string& place = engine.store().directory().string();
    fmt::print("{} kernels in {:.2f} s (lowering {:.2f} s, {} jobs), cache {}\n", jobs.size(), total, lowering, threads,
               place.empty() ? "off" : place);
    if (failed > 0) fmt::print(stderr, "flashtp-compile: {} of {} kernels did not compile\n", failed, jobs.size());
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
    command->add_flag("--check", options->check,
                      "also compare with the oracle, where the target runs here, and keep the verdict");
    command->add_option("--pack", options->pack, "write the kernels of this build to a pack");
    add_cache_directory(*command, options->cache);
    add_request_options(*command, options->request);
}

}  // namespace flashtp::tools
