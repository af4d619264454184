#include "runtime/engine.hpp"

#include <algorithm>
#include <atomic>
#include <exception>
#include <functional>
#include <system_error>
#include <thread>
#include <vector>

#include <fmt/format.h>

#include "ir/error.hpp"
#include "runtime/backend_cuda.hpp"
#include "runtime/backend_llvm.hpp"
#include "runtime/device.hpp"
#include "runtime/program_record.hpp"
#include "runtime/self_check.hpp"
#include "runtime/thread_pool.hpp"

namespace flashtp {
namespace {

/// Compilers run away on large sources only; for others a process of its own would cost more than the compilation.
constexpr std::size_t helper_source_bytes = 64 * 1024;

bool is_cuda(const Target& target) { return target.platform == Platform::cuda; }

/// The key covers this already; a cubin of another architecture must not reach a driver all the same.
bool fits(const Artifact& artifact, const Target& target, const std::string& name) {
    const bool same_target = target.platform == Platform::cpu || artifact.target == target.name;
    return same_target && artifact.kernel_name == name;
}

Record record_of(const Program& program) {
    ProgramRecord record{program.plan(), {}};
    for (const CompiledKernel& kernel : program.kernels()) record.kernels.push_back(kernel.key_text);
    return {EntryKind::program, to_string(program.request()), program.target().name, to_text(record)};
}

/// Runs `work` on up to `threads` threads, this one included: on fewer when the system has no thread left. `work` throws nothing.
void run_on_threads(std::size_t threads, const std::function<void()>& work) {
    std::vector<std::jthread> helpers;  // join when they are destroyed
    try {
        while (helpers.size() + 1 < threads) helpers.emplace_back(work);
    } catch (const std::system_error&) {
    }
    work();
}

}  // namespace

Engine::Engine(EngineOptions options)
    : log_(options.log), store_(store_options(options), log_),
      require_cached_(options.require_cached.value_or(flag_of(environment::require_cached))),
      self_check_(options.self_check.value_or(flag_of(environment::self_check))), cache_verify_(flag_of(environment::cache_verify)),
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
    const auto accept = [&](const Artifact& found) { return fits(found, kernel.target, kernel.name) && is_allowed(found, key); };
    if (require_cached_) {
        auto found = store_.load(key);
        if (!found || !accept(*found)) throw NotCachedError(not_cached(kernel, key));
        return {key.hex(), std::make_shared<const Artifact>(std::move(*found)), true, key.text()};
    }
    auto [artifact, cached] = store_.obtain(key, accept, [&] { return run_compiler(*backend(kernel.target), kernel, source); });
    if (cached && cache_verify_) compare_with_compiler(artifact, kernel, source);
    return {key.hex(), std::make_shared<const Artifact>(std::move(artifact)), cached, key.text()};
}

void Engine::compare_with_compiler(const Artifact& cached, const Kernel& kernel, const std::string& source) {
    if (run_compiler(*backend(kernel.target), kernel, source).code == cached.code) return;
    throw CompileError(fmt::format("kernel {} for {} compiles to other code than the cache has: its key lacks something that changes code",
                                   kernel.name, kernel.target.name));
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
    for (const CompiledKernel& kernel : compiled) {
        Artifact artifact = *kernel.artifact;
        artifact.self_check = problem.empty() ? self_check_passed : "failed: " + problem;
        store_.save(Key::of_text(kernel.key_text), artifact, true);
    }
    if (!problem.empty())
        throw CompileError(fmt::format("kernel {} failed its self-check and is not used: {}", program.plan().kernels.front().name, problem));
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
    run_on_threads(std::min<std::size_t>(kernels.size(), static_cast<std::size_t>(threads_)), work);
    for (const std::exception_ptr& error : errors) {
        if (error) std::rethrow_exception(error);
    }
    return compiled;
}

std::shared_ptr<Program> Engine::assemble(const Problem& problem, const Request& request, const Target& target,
                                          const LoweringOptions& options, const Lowered& lowered, std::vector<CompiledKernel> kernels) {
    const auto program = std::make_shared<Program>(Program::Parts{problem, request, target, options, plan_of(lowered, problem.dtype),
                                                                  std::move(kernels), backend(target)});
    store_.save_record(key(*program), record_of(*program));
    return program;
}

Key Engine::key(const Program& program) {
    return program_key(program.problem(), program.request(), program.target(), program.options(), toolchain(program.target()));
}

std::vector<PackEntry> Engine::entries(const Program& program) {
    const Key own = key(program);
    std::vector<PackEntry> entries{{own.hex(), to_bytes({own.text(), record_of(program)})}};
    for (const CompiledKernel& kernel : program.kernels()) entries.push_back({kernel.key, to_bytes({kernel.key_text, *kernel.artifact})});
    return entries;
}

std::shared_ptr<const CompiledKernel> Engine::find_kernel(const std::string& key_text, const Target& target, const std::string& name) {
    if (auto known = kernels_.find(key_text)) return known;
    const Key key = Key::of_text(key_text);
    std::optional<Artifact> found = store_.load(key);
    if (!found || !fits(*found, target, name) || !is_allowed(*found, key)) return nullptr;
    return kernels_.get(key_text, [&] {
        return std::make_shared<const CompiledKernel>(key.hex(), std::make_shared<const Artifact>(std::move(*found)), true, key_text);
    });
}

std::shared_ptr<Program> Engine::find(const Problem& problem, const Request& request, const Target& target,
                                      const LoweringOptions& options) {
    std::string compiler;
    try {
        compiler = toolchain(target);
    } catch (const CompileError&) {
        return nullptr;  // said when something has to be compiled
    }
    const std::optional<Record> found = store_.load_record(program_key(problem, request, target, options, compiler), EntryKind::program);
    if (!found) return nullptr;
    ProgramRecord record;
    try {
        record = parse_program_record(found->text);
    } catch (const UserError& error) {
        log_.warn_once("record", fmt::format("kernel cache: the record of a program is not used: {}", error.what()));
        return nullptr;
    }
    std::vector<CompiledKernel> kernels;
    for (std::size_t k = 0; k < record.kernels.size(); ++k) {
        const auto kernel = find_kernel(record.kernels[k], target, record.plan.kernels[k].name);
        if (!kernel) return nullptr;
        kernels.push_back(*kernel);
    }
    return std::make_shared<Program>(
        Program::Parts{problem, request, target, options, std::move(record.plan), std::move(kernels), backend(target)});
}

std::shared_ptr<Program> Engine::make_program(const Problem& problem, const Request& request, const Target& target,
                                              const LoweringOptions& options) {
    if (auto found = cache_verify_ ? nullptr : find(problem, request, target, options)) return found;
    const Lowered lowered = lower(problem, request, target, options);
    return assemble(problem, request, target, options, lowered, compile_all(lowered.kernels));
}

std::optional<TunedSchedule> Engine::find_tuned(const Problem& problem, const Request& request, const Target& target, SizeClass size) {
    const std::optional<Record> found = store_.load_record(tuned_key(problem, request, target, size), EntryKind::tuned);
    if (!found) return std::nullopt;
    try {
        return parse_tuned(found->text);
    } catch (const UserError& error) {
        log_.warn_once("record", fmt::format("kernel cache: a tuned schedule is not used: {}", error.what()));
        return std::nullopt;
    }
}

bool Engine::save_tuned(const Problem& problem, const Request& request, const Target& target, SizeClass size,
                        const TunedSchedule& schedule) {
    const std::string title = fmt::format("{}, {} graphs", to_string(request), to_string(size));
    return store_.save_record(tuned_key(problem, request, target, size), {EntryKind::tuned, title, target.name, to_text(schedule)}, true);
}

LoweringOptions Engine::tuned(const Problem& problem, const Request& request, const Target& target, const LoweringOptions& given,
                              SizeClass size) {
    if (given.schedule || given.factoring || given.knobs || given.general) return given;
    const std::optional<TunedSchedule> found = find_tuned(problem, request, target, size);
    LoweringOptions options = given;
    if (found) {
        options.knobs = found->knobs;
        options.tuned = found->measured;
    }
    const ScheduleKnobs untuned = default_knobs(target, request, problem.dtype, size);
    if (!options.knobs && untuned != default_knobs(target, request, problem.dtype)) options.knobs = untuned;
    return options;
}

std::shared_ptr<Program> Engine::compile(const Problem& problem, const Request& request, const Target& target,
                                         const LoweringOptions& options, SizeClass size) {
    validate(request);
    const LoweringOptions fastest = tuned(problem, request, target, options, size);
    if (!fastest.knobs || options.knobs || !require_cached_) return compile_exactly(problem, request, target, fastest);
    try {
        return compile_exactly(problem, request, target, fastest);
    } catch (const NotCachedError&) {
        return compile_exactly(problem, request, target, options);  // the cache may have been filled before anything was measured
    }
}

std::shared_ptr<Program> Engine::compile_exactly(const Problem& problem, const Request& request, const Target& target,
                                                 const LoweringOptions& options) {
    // Programs say their problem's name, which the cache does not know.
    Key key = program_key(problem, request, target, options, "");
    key.add("target", target.name).add("name", problem.name).add("tuned", options.tuned);
    return programs_.get(key.text(), [&] {
        const auto program = make_program(problem, request, target, options);
        if (self_check_ && runs_here(target)) self_check(*program);
        return program;
    });
}

}  // namespace flashtp
