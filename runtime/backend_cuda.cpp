#include "runtime/backend_cuda.hpp"

#include <array>
#include <chrono>
#include <limits>
#include <memory>
#include <mutex>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "codegen/emit_c.hpp"
#include "ir/error.hpp"
#include "runtime/device.hpp"
#include "runtime/driver.hpp"
#include "runtime/launch_graph.hpp"
#include "runtime/nvrtc.hpp"
#include "runtime/once_map.hpp"

namespace flashtp {
namespace {

/// Part of the cache key. Operands are declared in blocks that may not use all of them (177, 550).
const std::vector<std::string> fixed_options = {"--std=c++17", "--ptxas-options=-v", "--diag-suppress=177,550"};

std::vector<std::string> options_for(const Kernel& kernel) {
    std::vector<std::string> options = {"--gpu-architecture=" + kernel.target.name};
    options.insert(options.end(), fixed_options.begin(), fixed_options.end());
    return options;
}

/// More arguments than any kernel has, so that a launch allocates nothing.
constexpr std::size_t most_arguments = 64;
/// Limits of a launch: CUDA C++ Programming Guide, "Technical Specifications per Compute Capability".
constexpr std::int64_t largest_grid_x = 2147483647, largest_grid_y = 65535;

/// warp::Ranges of the code's prelude.
struct ZeroedRanges {
    static constexpr std::size_t most = 16;
    std::array<MemoryRange, most> range;
};
constexpr unsigned zero_threads = 256;
constexpr std::uint64_t most_zero_blocks = 1024;

class CudaKernel final : public Module {
  public:
    CudaKernel(const KernelFacts& kernel, const Artifact& artifact)
        : kernel_(kernel), name_(artifact.kernel_name), threads_(static_cast<unsigned>(kernel.warps_per_block * 32)),
          arguments_(static_cast<std::size_t>(kernel.arguments)) {
        if (arguments_ + 7 > most_arguments) internal_error("kernel {} has {} arguments", name_, arguments_);
        load(artifact);
    }
    ~CudaKernel() override {
        try {
            const CurrentContext current(context_);
            const AllowedDuringCapture allowed;  // of another thread's stream, which it would end
            Driver::get().unload_module(module_);
        } catch (const DeviceError&) {
            // The context is gone, and the code with it.
        }
    }
    CudaKernel(const CudaKernel&) = delete;
    CudaKernel& operator=(const CudaKernel&) = delete;

    void launch(const LaunchArguments&, std::int64_t row_begin, std::int64_t row_end) const override;
    LaunchShape shape(std::int64_t rows, std::int64_t edges) const override { return choose_shape(kernel_, slots_, rows, edges); }
    CudaKernelFacts facts() const;

  private:
    void load(const Artifact&);
    void allow_shared_memory() const;
    void zero(const LaunchArguments&) const;
    std::int64_t blocks(std::int64_t rows, std::int64_t rows_per_warp) const;

    KernelFacts kernel_;
    std::string name_;  ///< in the code
    unsigned threads_;
    std::size_t arguments_;
    std::int64_t slots_ = 1;  ///< warps that the device runs at a time
    bool overlaps_ = false;   ///< may start while its outputs are being zeroed
    CudaContext context_ = nullptr;
    CudaModule module_ = nullptr;
    CudaFunction function_ = nullptr, zero_ = nullptr;
};

void CudaKernel::load(const Artifact& artifact) {
    const Driver& driver = Driver::get();
    const CurrentContext current;
    context_ = current.get();
    overlaps_ = cuda_target(artifact.target).compute_capability >= 90;
    const AllowedDuringCapture allowed;
    const CudaStatus status = driver.load_module(&module_, artifact.code.data());
    if (status != 0) {
        const DeviceFacts device = current_device();
        driver.check(status,
                     fmt::format("loading {} for {} on {} (compute capability {}.{}, driver {}.{})", name_, artifact.target,
                                 device.name, device.compute_capability / 10, device.compute_capability % 10,
                                 device.driver_version / 1000, device.driver_version % 1000 / 10)
                         .c_str());
    }
    try {
        driver.check(driver.module_function(&function_, module_, name_.c_str()), "cuModuleGetFunction");
        driver.check(driver.module_function(&zero_, module_, (name_ + "_zero").c_str()), "cuModuleGetFunction");
        allow_shared_memory();
        slots_ = std::max<std::int64_t>(1, current_device().multiprocessors * facts().blocks_per_multiprocessor * kernel_.warps_per_block);
    } catch (...) {
        driver.unload_module(module_);  // no destructor runs
        throw;
    }
}

/// Blocks get 48 KB without asking.
void CudaKernel::allow_shared_memory() const {
    constexpr std::int64_t granted = 48 * 1024;
    if (kernel_.shared_bytes <= granted) return;
    const DeviceFacts device = current_device();
    if (kernel_.shared_bytes > device.shared_bytes_per_block)
        throw DeviceError(fmt::format("kernel {} needs {} bytes of shared memory a block; {} has {}", name_, kernel_.shared_bytes,
                                      device.name, device.shared_bytes_per_block));
    const Driver& driver = Driver::get();
    driver.check(driver.set_function_attribute(function_, cuda_attribute::max_dynamic_shared, static_cast<int>(kernel_.shared_bytes)),
                 "cuFuncSetAttribute");
}

std::int64_t CudaKernel::blocks(std::int64_t rows, std::int64_t rows_per_warp) const {
    const std::int64_t a_block = rows_per_warp * kernel_.warps_per_block, count = (rows + a_block - 1) / a_block;
    if (rows > std::numeric_limits<int>::max() || count > largest_grid_x || kernel_.chunks > largest_grid_y)
        throw DeviceError(
            fmt::format("kernel {}: {} rows in {} x {} blocks are more than a launch takes", name_, rows, count, kernel_.chunks));
    return count;
}

void put(const LaunchArguments& launch, const CudaLaunch& config, CudaFunction function, void** arguments) {
    if (launch.graph) return launch.graph->set(config, function, arguments);
    const Driver& driver = Driver::get();
    driver.check(driver.launch_kernel_with(&config, function, arguments, nullptr), "cuLaunchKernelEx");
}

void CudaKernel::zero(const LaunchArguments& launch) const {
    std::span<const MemoryRange> ranges = launch.zeroed;
    for (; !ranges.empty(); ranges = ranges.subspan(std::min(ranges.size(), ZeroedRanges::most))) {
        ZeroedRanges some{};
        const std::size_t count = std::min(ranges.size(), ZeroedRanges::most);
        std::copy_n(ranges.begin(), count, some.range.begin());
        std::uint64_t longest = 0;
        for (const MemoryRange& range : ranges.first(count)) longest = std::max(longest, range.bytes);
        const std::uint64_t block_bytes = zero_threads * 16;
        const auto blocks = static_cast<unsigned>(std::min((longest + block_bytes - 1) / block_bytes, most_zero_blocks));
        void* arguments[] = {&some};
        put(launch, {blocks, static_cast<unsigned>(count), 1, zero_threads, 1, 1, 0, launch.stream, nullptr, 0}, zero_, arguments);
    }
}

void CudaKernel::launch(const LaunchArguments& launch, std::int64_t row_begin, std::int64_t row_end) const {
    if (row_begin != 0) internal_error("kernel {}: a CUDA launch starts at row 0, not {}", name_, row_begin);
    if (launch.buffers.size() != arguments_)
        internal_error("kernel {}: {} buffers for {} arguments", name_, launch.buffers.size(), arguments_);
    const CurrentContext current;
    zero(launch);
    if (row_end <= 0 || kernel_.chunks == 0) return;  // a request whose outputs are all zero has no task
    int rows_per_warp = launch.shape.rows_per_warp > 0 ? launch.shape.rows_per_warp : kernel_.rows_per_warp;
    int parts = launch.shape.parts, part_edges = launch.shape.part_edges;
    bool shared_edges = launch.shape.blocks > 0;
    const std::int64_t grid_x = shared_edges ? launch.shape.blocks : blocks((launch.shape.rows > 0 ? launch.shape.rows : row_end) * parts, rows_per_warp);
    int rows = static_cast<int>(row_end);

    std::array<void*, most_arguments> pointers;
    for (std::size_t n = 0; n < arguments_; ++n) pointers[n] = const_cast<void**>(&launch.buffers[n]);
    pointers[arguments_] = &rows;
    pointers[arguments_ + 1] = &rows_per_warp;
    pointers[arguments_ + 2] = kernel_.shares_edges ? static_cast<void*>(&shared_edges) : &parts;
    pointers[arguments_ + 3] = &part_edges;
    const std::int64_t* row_count = launch.row_count;
    int edge_begin = static_cast<int>(launch.window.begin), edge_end = static_cast<int>(launch.window.end);
    int receivers = static_cast<int>(launch.window.receivers);
    pointers[arguments_ + 4] = kernel_.windows ? static_cast<void*>(&edge_begin) : &row_count;  // the latter is taken where rows are edges
    pointers[arguments_ + 5] = &edge_end;
    pointers[arguments_ + 6] = &receivers;
    CudaLaunchAttribute early{CudaLaunchAttribute::programmatic_serialization, 0, {1}};
    const bool overlap = overlaps_ && (!launch.zeroed.empty() || launch.follows);
    const CudaLaunch config{static_cast<unsigned>(grid_x), shared_edges ? 1u : static_cast<unsigned>(kernel_.chunks), 1, threads_, 1, 1, static_cast<unsigned>(kernel_.shared_bytes), launch.stream,
                            &early, overlap ? 1u : 0u};
    put(launch, config, function_, pointers.data());
}

CudaKernelFacts CudaKernel::facts() const {
    const Driver& driver = Driver::get();
    const CurrentContext current(context_);
    CudaKernelFacts facts;
    driver.check(driver.function_attribute(&facts.registers, cuda_attribute::registers, function_), "cuFuncGetAttribute");
    driver.check(driver.function_attribute(&facts.local_bytes, cuda_attribute::local_bytes, function_), "cuFuncGetAttribute");
    driver.check(driver.occupancy(&facts.blocks_per_multiprocessor, function_, static_cast<int>(threads_),
                                  static_cast<std::size_t>(kernel_.shared_bytes)),
                 "cuOccupancyMaxActiveBlocksPerMultiprocessor");
    return facts;
}

class CudaBackend final : public Backend {
  public:
    explicit CudaBackend(std::filesystem::path nvrtc) : path_(std::move(nvrtc)) {}

    std::string identity(const Target&) override {
        return fmt::format("{} {}", nvrtc()->identity(), fmt::join(fixed_options, " "));
    }
    std::string compiler() override { return nvrtc()->file(); }
    std::string source(const Kernel& kernel) override { return emit_c(kernel, cuda_dialect()); }
    Artifact compile(const Kernel&, const std::string& source) override;
    std::shared_ptr<const ScratchPool> scratch() override;
    std::unique_ptr<Module> load(const KernelFacts& kernel, const Artifact& artifact) override {
        return std::make_unique<CudaKernel>(kernel, artifact);
    }

  private:
    std::shared_ptr<const Nvrtc> nvrtc() {
        return nvrtc_.get("", [&]() -> std::shared_ptr<const Nvrtc> { return Nvrtc::load(path_); });
    }

    std::filesystem::path path_;
    OnceMap<const Nvrtc> nvrtc_;
    std::mutex mutex_;
    std::vector<std::weak_ptr<const ScratchPool>> pools_;  ///< of the contexts that programs need them in
};

std::shared_ptr<const ScratchPool> CudaBackend::scratch() {
    const std::lock_guard lock(mutex_);
    const void* const context = current_context();
    for (const std::weak_ptr<const ScratchPool>& each : pools_)
        if (const auto pool = each.lock(); pool && pool->context() == context) return pool;
    auto pool = std::make_shared<const ScratchPool>();
    pools_.push_back(pool);
    return pool;
}

Artifact CudaBackend::compile(const Kernel& kernel, const std::string& source) {
    const auto start = std::chrono::steady_clock::now();
    Nvrtc::Result result = nvrtc()->compile(source, kernel.name + ".cu", options_for(kernel), Nvrtc::Output::cubin);
    const PtxasReport report = parse_ptxas_log(result.log);
    Artifact artifact;
    artifact.kernel_name = kernel.name;
    artifact.target = kernel.target.name;
    artifact.code = std::move(result.code);
    artifact.registers = report.registers;
    artifact.spill_bytes = report.stack_bytes;
    artifact.shared_bytes = shared_bytes(kernel);
    artifact.log = report.warnings;
    artifact.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    return artifact;
}

}  // namespace

std::unique_ptr<Backend> make_cuda_backend(const std::filesystem::path& nvrtc) { return std::make_unique<CudaBackend>(nvrtc); }

CudaKernelFacts cuda_kernel_facts(const Module& module) {
    const auto* kernel = dynamic_cast<const CudaKernel*>(&module);
    if (!kernel) internal_error("this module is not a CUDA kernel");
    return kernel->facts();
}

std::string compile_to_ptx(const Kernel& kernel, const std::string& source, const std::filesystem::path& nvrtc) {
    const Nvrtc::Result result =
        Nvrtc::load(nvrtc)->compile(source, kernel.name + ".cu", options_for(kernel), Nvrtc::Output::ptx);
    return {result.code.begin(), result.code.end()};
}

}  // namespace flashtp
