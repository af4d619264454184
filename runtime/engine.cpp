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
#include "runtime/thread_pool.hpp"

namespace flashtp {
namespace {

bool is_cuda(const Target& target) { return target.platform == Platform::cuda; }

/// The key covers this already; a cubin of another architecture must not reach a driver all the same.
bool fits(const Artifact& artifact, const Kernel& kernel) {
    const bool same_target = kernel.target.platform == Platform::cpu || artifact.target == kernel.target.name;
    return same_target && artifact.kernel_name == kernel.name;
}

std::string text_of(const ScheduleKnobs& k) {
    const auto [channels, registers, split, operations, staged, stages, bytes, warps, blocks, rows, prefetch] = k;
    return fmt::format("{} {} {} {} {} {} {} {} {} {} {}", channels, registers, split, operations, staged, stages, bytes, warps, blocks,
                       rows, prefetch);
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
    : log_(std::move(options.log)), store_(options.cache_directory ? *options.cache_directory : default_cache_directory(), log_),
      threads_(options.threads > 0 ? options.threads : default_threads()) {}

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

Key Engine::key(const Kernel& kernel, const std::string& source) {
    return kernel_key(kernel, source, backend(kernel.target)->identity(kernel.target));
}

CompiledKernel Engine::compile(const Kernel& kernel) { return compile(kernel, backend(kernel.target)->source(kernel)); }

CompiledKernel Engine::compile(const Kernel& kernel, const std::string& source) {
    const std::shared_ptr<Backend> backend = this->backend(kernel.target);
    const Key key = kernel_key(kernel, source, backend->identity(kernel.target));
    return *kernels_.get(key.text(), [&] {
        auto stored = store_.load(key);
        if (stored && fits(*stored, kernel)) {
            return std::make_shared<const CompiledKernel>(
                CompiledKernel{key.hex(), std::make_shared<const Artifact>(std::move(*stored)), true});
        }
        auto artifact = std::make_shared<const Artifact>(backend->compile(kernel, source));
        store_.save(key, *artifact);
        return std::make_shared<const CompiledKernel>(CompiledKernel{key.hex(), std::move(artifact), false});
    });
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
        return assemble(problem, request, target, std::move(lowered), std::move(kernels));
    });
}

}  // namespace flashtp
