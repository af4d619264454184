// The one virtual interface of the runtime: what turns a kernel into something that runs.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "ir/kernel.hpp"
#include "runtime/launch_plan.hpp"
#include "runtime/launch_shape.hpp"
#include "runtime/scratch_pool.hpp"

namespace flashtp {

/// Compiled code with what a launch and a person need to know about it. Immutable; this is what the cache stores.
struct Artifact {
    std::string kernel_name;
    std::string target;                ///< Target::name
    std::vector<std::uint8_t> code;    ///< cubin or ELF object
    int registers = 0;                 ///< a lane's registers (CUDA); 0 where not known
    std::int64_t spill_bytes = 0;      ///< local memory (CUDA) or stack spills of inner loops where known
    std::int64_t shared_bytes = 0;     ///< a block's dynamic shared memory
    std::string log;                   ///< compiler warnings
    std::string self_check;            ///< "passed", "failed: why", or empty where it was not compared with the oracle
    double seconds = 0;                ///< compile time; 0 when it came from the cache
};

/// Device memory, 16-byte aligned; a multiple of 2 bytes.
struct MemoryRange {
    void* data = nullptr;
    std::uint64_t bytes = 0;
};

/// The edges that a kernel with windows does, by position.
struct EdgeWindow {
    std::int64_t begin = 0, end = 0, receivers = 0;
};

class LaunchGraph;

struct LaunchArguments {
    std::vector<void*> buffers;   ///< in the order of Kernel::buffers without tables; index buffers may be null where the kernel allows
    std::int64_t rows = 0;        ///< receivers or edges, as Kernel::receiver_rows says
    const std::int64_t* row_count = nullptr;  ///< CUDA, where rows are edges: in device memory, how many of them there are; null: all
    LaunchShape shape;
    EdgeWindow window;            ///< CUDA, of kernels with windows
    bool follows = false;         ///< CUDA: it waits by itself for the kernel before, which is one with windows
    std::span<const MemoryRange> zeroed;  ///< CUDA: before the kernel writes
    void* stream = nullptr;       ///< CUstream; ignored on the CPU
    LaunchGraph* graph = nullptr; ///< CUDA: gets the launches instead of the stream
};

/// A loaded kernel. Launching is thread-safe.
class Module {
  public:
    virtual ~Module() = default;
    /// CUDA: asynchronous on the stream in the caller's current context. CPU: runs rows [row_begin, row_end) on the caller's thread.
    virtual void launch(const LaunchArguments&, std::int64_t row_begin, std::int64_t row_end) const = 0;
    /// The shape that keeps the device busy with that many rows and edges.
    virtual LaunchShape shape(std::int64_t rows, std::int64_t edges) const {
        (void)rows, (void)edges;
        return {};
    }
};

class Backend {
  public:
    virtual ~Backend() = default;
    /// Build identity of the toolchain that `compile` uses, for the cache key: version and library identity, never a time.
    virtual std::string identity(const Target&) = 0;
    /// The file of the compiler's library.
    virtual std::string compiler() = 0;
    /// The text that is compiled: CUDA C++ or LLVM IR. Pure: same kernel, same bytes.
    virtual std::string source(const Kernel&) = 0;
    /// Needs no device. Throws CompileError with the compiler's log.
    virtual Artifact compile(const Kernel&, const std::string& source) = 0;
    /// CUDA: of the caller's current context; null on CPUs. Throws DeviceError.
    virtual std::shared_ptr<const ScratchPool> scratch() { return nullptr; }
    /// CUDA: into the caller's current context. Throws DeviceError.
    virtual std::unique_ptr<Module> load(const KernelFacts&, const Artifact&) = 0;
};

}  // namespace flashtp
