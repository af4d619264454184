#include "runtime/engine.hpp"

#include <algorithm>
#include <atomic>
#include <exception>
#include <thread>

#include <fmt/format.h>

#include "compiler/trace.hpp"
#include "ir/error.hpp"
#include "runtime/backend_cuda.hpp"
#include "runtime/backend_llvm.hpp"
#include "runtime/device.hpp"
#include "runtime/self_check.hpp"
#include "runtime/thread_pool.hpp"

namespace flashtp {
namespace {

/// Compilers run away on large sources only; for others a process of its own would cost more than the compilation.
constexpr std::size_t helper_source_bytes = 64 * 1024;

bool is_cuda(const Target& target) { return target.platform == Platform::cuda; }

/// The key covers this already; a cubin of another architecture must not reach a driver all the same.
bool fits(const Artifact& artifact, const Kernel& kernel) {
    const bool same_target = kernel.target.platform == Platform::cpu || artifact.target == kernel.target.name;
    return same_target && artifact.kernel_name == kernel.name;
}

std::string text_of(const ScheduleKnobs& k) {
    const auto [channels, registers, split, operations, staged, sums, stages, bytes, warps, blocks, rows, prefetch, tile] = k;
    return fmt::format("{} {} {} {} {} {} {} {} {} {} {} {} {}", channels, registers, split, operations, staged, sums, stages, bytes, warps,
                       blocks, rows, prefetch, tile);
}

/// Names a program within a process: the request, not its kernels, so that a hit costs no lowering.
std::string program_key(const Problem& problem, const Request& request, const Target& target, const LoweringOptions& options) {
    std::string features;
    for (const std::string& feature : target.features) features += feature + ",";
    Key key;
    key.add("problem", to_json(problem));
    key.add("request", to_string(request));
    key.add("target", fmt::format("{} {} {} {}", target.name, target.cpu, target.vector_bits, features));
    key.add("schedule", options.schedule ? to_json(*options.schedule) : "");
    key.add("factoring", options.factoring ? to_string(*options.factoring) : "");
    key.add("knobs", options.knobs ? text_of(*options.knobs) : "");
    key.add("general", options.general ? "yes" : "no");
    return key.text();
}

}  // namespace

Engine::Engine(EngineOptions options)
    : log_(options.log), store_(store_options(options), log_),
      require_cached_(options.require_cached.value_or(flag_of(environment::require_cached))),
      self_check_(options.self_check.value_or(flag_of(environment::self_check))),
      threads_(options.threads > 0 ? options.threads : default_threads()), helper_(find_compile_helper()),
      limits_{number_of(environment::compile_seconds, CompileLimits{}.seconds, 1),
              number_of(environment::compile_bytes, CompileLimits{}.bytes, 1)} {}

Engine::~Engine() = default;

std::shared_ptr<Backend> Engine::backend(const Target& target) {
    return backends_.get(is_cuda(target) ? "cuda" : "cpu", [&]() -> std::shared_ptr<Backend> {
        if (is_cuda(target)) return make_cuda_backend();
        return make_llvm_backend();
    });
}

Target Engine::target(std::string_view name) const {
    if (name == "cpu") return host_cpu_target();
    if (name == "cuda") return current_device_target();
    return name.starts_with("sm_") ? cuda_target(name) : cpu_target(name);
}

std::string Engine::source(const Kernel& kernel) { return backend(kernel.target)->source(kernel); }

Key Engine::key(const Kernel& kernel, const std::string& source) { return kernel_key(kernel, source, toolchain(kernel.target)); }

/// Where there is no compiler for a GPU, kernels can still be found: then it is the one that filled the caches.
std::string Engine::toolchain(const Target& target) {
    return *toolchains_.get(target.name, [&] {
        try {
            return std::make_shared<const std::string>(backend(target)->identity(target));
        } catch (const CompileError&) {
            std::string known = is_cuda(target) ? store_.toolchain_of(target.name) : "";
            if (known.empty()) throw;
            return std::make_shared<const std::string>(std::move(known));
        }
    });
}

CompiledKernel Engine::compile(const Kernel& kernel) { return compile(kernel, backend(kernel.target)->source(kernel)); }

CompiledKernel Engine::compile(const Kernel& kernel, const std::string& source) {
    const Key key = this->key(kernel, source);
    return *kernels_.get(key.text(), [&] { return std::make_shared<const CompiledKernel>(make(kernel, source, key)); });
}

CompiledKernel Engine::make(const Kernel& kernel, const std::string& source, const Key& key) {
    const auto accept = [&](const Artifact& artifact) { return fits(artifact, kernel) && is_allowed(artifact, key); };
    if (require_cached_) {
        auto found = store_.load(key);
        if (!found || !accept(*found)) throw NotCachedError(not_cached(kernel, key));
        return {key.hex(), std::make_shared<const Artifact>(std::move(*found)), true};
    }
    auto [artifact, cached] = store_.obtain(key, accept, [&] { return run_compiler(*backend(kernel.target), kernel, source); });
    return {key.hex(), std::make_shared<const Artifact>(std::move(artifact)), cached};
}

/// Throws for a kernel that failed its self-check. With self-checks on it is checked again: the failure may have been that of a device.
bool Engine::is_allowed(const Artifact& artifact, const Key& key) const {
    if (!artifact.self_check.starts_with("failed") || self_check_) return true;
    throw CompileError(fmt::format("kernel {} is not used: its self-check {} (cache entry {}); {}=1 checks it again",
                                   artifact.kernel_name, artifact.self_check, key.hex(), environment::self_check.name));
}

Artifact Engine::run_compiler(Backend& backend, const Kernel& kernel, const std::string& source) {
    if (helper_.empty() || source.size() < helper_source_bytes) return backend.compile(kernel, source);
    std::string why;
    const HelperJob job{backend.compiler(), backend.identity(kernel.target), kernel, source};
    if (auto artifact = compile_in_helper(helper_, job, limits_, why)) return std::move(*artifact);
    log_.warn_once("helper", fmt::format("large kernels are compiled in this process, without a limit of time: {}", why));
    return backend.compile(kernel, source);
}

std::string Engine::not_cached(const Kernel& kernel, const Key& key) const {
    std::string text =
        fmt::format("kernel {} for {} is in no cache, and {} forbids compiling it.\nKey {}:\n{}Looked in:", kernel.name,
                    kernel.target.name, environment::require_cached.name, key.hex(), key.text());
    if (!store_.directory().empty()) text += "\n  " + store_.directory().string();
    for (const auto& path : store_.options().read_only) text += "\n  " + path.string();
    return text + "\n`flashtp-compile build` fills a cache, `flashtp-compile cache explain` compares keys.";
}

void Engine::self_check(const Program& program) {
    const auto& compiled = program.kernels();
    const bool passed = std::ranges::all_of(compiled, [](const auto& k) { return k.artifact->self_check == self_check_passed; });
    if (passed) return;
    const std::string problem = flashtp::self_check(program, threads_);
    const std::vector<Kernel>& kernels = program.lowered().kernels;
    for (std::size_t k = 0; k < kernels.size(); ++k) {
        Artifact artifact = *compiled[k].artifact;
        artifact.self_check = problem.empty() ? self_check_passed : "failed: " + problem;
        store_.save(key(kernels[k], source(kernels[k])), artifact, true);
    }
    if (!problem.empty())
        throw CompileError(fmt::format("kernel {} failed its self-check and is not used: {}", kernels.front().name, problem));
}

std::vector<CompiledKernel> Engine::compile_all(const std::vector<Kernel>& kernels) {
    std::vector<CompiledKernel> compiled(kernels.size());
    std::vector<std::exception_ptr> errors(kernels.size());
    std::atomic<std::size_t> next{0};
    const auto work = [&] {
        for (std::size_t k = next++; k < kernels.size(); k = next++) {
            try {
                compiled[k] = compile(kernels[k]);
            } catch (...) {
                errors[k] = std::current_exception();
            }
        }
    };
    std::vector<std::thread> helpers;
    const std::size_t wanted = std::min<std::size_t>(kernels.size(), static_cast<std::size_t>(threads_));
    for (std::size_t i = 1; i < wanted; ++i) helpers.emplace_back(work);
    work();
    for (std::thread& helper : helpers) helper.join();
    for (const std::exception_ptr& error : errors) {
        if (error) std::rethrow_exception(error);
    }
    return compiled;
}

std::shared_ptr<Program> Engine::assemble(const Problem& problem, const Request& request, const Target& target, Lowered lowered,
                                          std::vector<CompiledKernel> kernels) {
    return std::make_shared<Program>(
        Program::Parts{problem, request, target, std::move(lowered), std::move(kernels), backend(target)});
}

std::shared_ptr<Program> Engine::compile(const Problem& problem, const Request& request, const Target& target,
                                         const LoweringOptions& options) {
    return programs_.get(program_key(problem, request, target, options), [&] {
        Trace trace;
        Lowered lowered = lower(problem, request, target, options, trace);
        std::vector<CompiledKernel> kernels = compile_all(lowered.kernels);
        auto program = assemble(problem, request, target, std::move(lowered), std::move(kernels));
        if (self_check_ && runs_here(target)) self_check(*program);
        return program;
    });
}

}  // namespace flashtp
