// A compiled request: what to provide, and how to run it.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "compiler/pipeline.hpp"
#include "ir/problem.hpp"
#include "ir/request.hpp"
#include "ir/target.hpp"
#include "runtime/backend.hpp"
#include "runtime/cpu_run.hpp"
#include "runtime/graph_view.hpp"
#include "runtime/launch_plan.hpp"
#include "runtime/per_process.hpp"

namespace flashtp {

class LaunchGraphs;

/// A kernel's code, where it came from and what names it.
struct CompiledKernel {
    std::string key;  ///< 64 hexadecimal digits
    std::shared_ptr<const Artifact> artifact;
    bool cached = false;   ///< loaded from disk instead of compiled
    std::string key_text;  ///< whose SHA-256 the key is
};

/// Immutable, and safe to run from any number of threads at once.
class Program {
  public:
    struct Parts {
        Problem problem;
        Request request;
        Target target;
        LoweringOptions options;
        LaunchPlan plan;
        std::vector<CompiledKernel> kernels;
        std::shared_ptr<Backend> backend;
    };
    explicit Program(Parts);
    ~Program();

    const Problem& problem() const { return parts_.problem; }
    const Request& request() const { return parts_.request; }
    const Target& target() const { return parts_.target; }
    const LoweringOptions& options() const { return parts_.options; }
    const LaunchPlan& plan() const { return parts_.plan; }
    const std::vector<CompiledKernel>& kernels() const { return parts_.kernels; }
    const std::vector<ProgramOperand>& operands() const { return parts_.plan.operands; }
    /// Every level of the request: a program from the cache was not lowered, and running needs none of it.
    Lowered lower() const;

    /// Runs that launched a kernel.
    std::int64_t launches(std::size_t kernel) const { return launches_[kernel]; }

    /// Loads the code: CUDA into the caller's current context. Runs do it on first use otherwise.
    void prepare() const;

    /// Runs all kernels on this host's cores. Pointers are in the order of operands() and aligned to their element type.
    /// Outputs are overwritten. Throws UserError for null or misaligned pointers and row counts that do not fit.
    void run_cpu(std::span<void* const> operands, const GraphView&, int threads, const ParallelFor& pool = parallel) const;

    /// Device memory that a launch on a graph of these counts needs, for parts of sums; 0 but for deterministic programs.
    std::size_t workspace_bytes(const GraphView&) const;

    /// Enqueues zeroing and all kernels on a CUstream of the current context; device pointers, aligned to 16 bytes. After
    /// prepare() in the same context it neither allocates nor synchronises. Throws NotPreparedError where the stream is captured
    /// into a graph and the code is not loaded.
    void launch_cuda(std::span<void* const> operands, const GraphView&, void* stream) const;

  private:
    using Modules = std::vector<std::unique_ptr<Module>>;
    struct Loaded;  ///< modules of one CUDA context, or those of the CPU

    /// `captured`: a stream, if any, during whose capture nothing may be loaded.
    const Loaded& loaded(const void* const* captured = nullptr) const;
    Modules load() const;
    std::shared_ptr<const ScratchPool> scratch() const;
    std::unique_ptr<LaunchGraphs> graphs(const Modules&) const;
    bool is_cuda() const { return !cpu_; }
    void check(std::span<void* const> operands, const GraphView&) const;
    void check_for_sums(const GraphView&) const;
    std::vector<MemoryRange> memory_between_kernels(const GraphView&) const;

    Parts parts_;
    std::unique_ptr<CpuRunner> cpu_;  ///< null on CUDA
    mutable std::vector<std::atomic<std::int64_t>> launches_;  ///< by kernel
    struct LoadedCode {
        std::mutex mutex;
        std::vector<std::unique_ptr<Loaded>> contexts;
    };
    PerProcess<LoadedCode> loaded_;
};

}  // namespace flashtp
