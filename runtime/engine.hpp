// Owns everything that outlives a compilation: back ends, the kernel cache, what has been compiled. There is no other state.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "compiler/pipeline.hpp"
#include "ir/problem.hpp"
#include "ir/request.hpp"
#include "ir/target.hpp"
#include "runtime/cache/store.hpp"
#include "runtime/compile_helper.hpp"
#include "runtime/edges_cuda.hpp"
#include "runtime/log.hpp"
#include "runtime/once_map.hpp"
#include "runtime/options.hpp"
#include "runtime/program.hpp"
#include "runtime/tuned.hpp"

namespace flashtp {

/// Thread-safe. Programs stay valid after their engine.
class Engine {
  public:
    explicit Engine(EngineOptions options = {});
    ~Engine();

    /// Compiles once for each distinct request, however many threads ask. Needs no device. Throws UserError for what the user
    /// asked, CompileError for what the toolchain refused or where there is none, for a kernel that failed its self-check, and
    /// NotCachedError where only cached kernels are allowed.
    /// A schedule that was measured for graphs of this size is used where the options leave the choice open.
    std::shared_ptr<Program> compile(const Problem&, const Request&, const Target&, const LoweringOptions& = {},
                                     SizeClass = SizeClass::large);

    /// One kernel, through the cache.
    CompiledKernel compile(const Kernel&);
    /// The same for a source of our own; of the kernel only name and target count.
    CompiledKernel compile(const Kernel&, const std::string& source);
    /// The options, with the schedule that the cache says is fastest where they leave the choice open.
    LoweringOptions tuned(const Problem&, const Request&, const Target&, const LoweringOptions&, SizeClass);
    /// What the cache says, and telling it.
    std::optional<TunedSchedule> find_tuned(const Problem&, const Request&, const Target&, SizeClass);
    bool save_tuned(const Problem&, const Request&, const Target&, SizeClass, const TunedSchedule&);
    /// A program all of whose kernels are in memory or in the cache, found without lowering; null where something is missing.
    std::shared_ptr<Program> find(const Problem&, const Request&, const Target&, const LoweringOptions& = {});
    /// Puts a program together, and into the cache; the kernels are those of `lowered`, in its order.
    std::shared_ptr<Program> assemble(const Problem&, const Request&, const Target&, const LoweringOptions&, const Lowered&,
                                      std::vector<CompiledKernel>);
    /// What the cache holds of a program.
    std::vector<PackEntry> entries(const Program&);

    /// What is compiled for a kernel, and the text of its key.
    std::string source(const Kernel&);
    Key key(const Kernel&, const std::string& source);
    Key key(const Program&);

    /// "cpu" is this host, "cuda" the current device; else a name of known_targets(). Throws UserError, DeviceError.
    Target target(std::string_view name) const;
    /// The back end of a target, loaded on first use. Throws CompileError where its libraries are missing.
    std::shared_ptr<Backend> backend(const Target&);

    /// Compares a program of this host or of the current device with the oracle on a small random problem, unless all its kernels
    /// have passed before. Keeps the verdict in the cache. Throws CompileError that names the kernel, output and component.
    void self_check(const Program&);

    DeviceIndexer& indexer() { return indexer_; }
    ArtifactStore& store() { return store_; }
    Log& log() { return log_; }
    /// Threads of a run on the CPU where the caller does not say.
    int threads() const { return threads_; }

  private:
    std::vector<CompiledKernel> compile_all(const std::vector<Kernel>&);
    CompiledKernel make(const Kernel&, const std::string& source, const Key&);
    std::shared_ptr<Program> compile_exactly(const Problem&, const Request&, const Target&, const LoweringOptions&);
    std::shared_ptr<Program> make_program(const Problem&, const Request&, const Target&, const LoweringOptions&);
    std::shared_ptr<const CompiledKernel> find_kernel(const std::string& key_text, const Target&, const std::string& name);
    bool is_allowed(const Artifact&, const Key&) const;
    void compare_with_compiler(const Artifact& cached, const Kernel&, const std::string& source);
    std::string toolchain(const Target&);
    Artifact run_compiler(Backend&, const Kernel&, const std::string& source);
    std::string not_cached(const Kernel&, const Key&) const;

    Log log_;
    ArtifactStore store_;
    bool require_cached_, self_check_, cache_verify_;
    int threads_;
    std::filesystem::path helper_;
    CompileLimits limits_;
    DeviceIndexer indexer_;
    OnceMap<Backend> backends_;
    OnceMap<const std::string> toolchains_;  ///< by target
    OnceMap<const CompiledKernel> kernels_;  ///< code only: what the disk cache is to processes
    OnceMap<Program, Keep::while_used> programs_;
};

}  // namespace flashtp
