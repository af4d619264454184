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
#include "runtime/arguments.hpp"
#include "runtime/backend.hpp"
#include "runtime/cpu_run.hpp"
#include "runtime/graph_view.hpp"
#include "runtime/per_process.hpp"

namespace flashtp {

/// A kernel's code, where it came from and what names it.
struct CompiledKernel {
    std::string key;  ///< 64 hexadecimal digits
    std::shared_ptr<const Artifact> artifact;
    bool cached = false;  ///< loaded from disk instead of compiled
};

/// A matrix [rows][width] of the program's signature. Inputs that no kernel reads are part of it; their pointers may be null.
struct ProgramOperand {
    std::string name;
    Role role = Role::input;
    Row row = Row::edge;
    std::int64_t width = 0;
    DType dtype = DType::float32;
    bool used = false;  ///< an output, or an input that some kernel reads
};

/// Immutable, and safe to run from any number of threads at once.
class Program {
  public:
    struct Parts {
        Problem problem;
        Request request;
        Target target;
        Lowered lowered;
        std::vector<CompiledKernel> kernels;
        std::shared_ptr<Backend> backend;
    };
    explicit Program(Parts);
    ~Program();

    const Problem& problem() const { return parts_.problem; }
    const Request& request() const { return parts_.request; }
    const Target& target() const { return parts_.target; }
    const Lowered& lowered() const { return parts_.lowered; }
    const std::vector<CompiledKernel>& kernels() const { return parts_.kernels; }
    const std::vector<ProgramOperand>& operands() const { return operands_; }

    /// Runs that launched a kernel.
    std::int64_t launches(std::size_t kernel) const { return launches_[kernel]; }

    /// Loads the code: CUDA into the caller's current context. Runs do it on first use otherwise.
    void prepare() const;

    /// Runs all kernels on this host's cores. Pointers are in the order of operands() and aligned to their element type.
    /// Outputs are overwritten. Throws UserError for null or misaligned pointers and row counts that do not fit.
    void run_cpu(std::span<void* const> operands, const GraphView&, int threads, const ParallelFor& pool = parallel) const;

    /// Enqueues zeroing and all kernels on a CUstream of the current context; device pointers, aligned to 16 bytes. After
    /// prepare() in the same context it neither allocates nor synchronises. Throws NotPreparedError where the stream is captured
    /// into a graph and the code is not loaded.
    void launch_cuda(std::span<void* const> operands, const GraphView&, void* stream) const;

  private:
    using Modules = std::vector<std::unique_ptr<Module>>;
    struct Loaded;  ///< modules of one CUDA context, or those of the CPU

    /// `captured`: a stream, if any, during whose capture nothing may be loaded.
    const Modules& modules(const void* const* captured = nullptr) const;
    Modules load() const;
    std::int64_t rows_of(std::size_t kernel, const GraphView&) const;
    LaunchShape shape_of(std::size_t kernel, const Module&, const GraphView&) const;
    void check(std::span<void* const> operands, const GraphView&, std::size_t alignment) const;

    Parts parts_;
    std::vector<ProgramOperand> operands_;
    std::vector<ArgumentList> arguments_;  ///< by kernel
    std::vector<OutputRule> outputs_;
    std::unique_ptr<CpuRunner> cpu_;
    mutable std::vector<std::atomic<std::int64_t>> launches_;  ///< by kernel
    struct LoadedCode {
        std::mutex mutex;
        std::vector<std::unique_ptr<Loaded>> contexts;
    };
    PerProcess<LoadedCode> loaded_;
};

}  // namespace flashtp
