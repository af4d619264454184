// Copy bandwidth and multiply-add rate of the current CUDA device.
#include <array>

#include <fmt/format.h>

#include "runtime/device.hpp"
#include "runtime/driver.hpp"
#include "runtime/nvrtc.hpp"
#include "tools/flashtp_compile/measure.hpp"

namespace flashtp::tools {
namespace {

constexpr int device_rounds = 4096, device_chains = 16, threads_per_block = 256, blocks_per_multiprocessor = 8;

std::string fma_source(DType dtype) {
    return fmt::format("extern \"C\" __global__ void multiply_add({0}* out, {0} a, {0} b) {{\n"
                       "    {0} s[{1}];\n"
                       "    #pragma unroll\n"
                       "    for (int c = 0; c < {1}; ++c) s[c] = ({0})(threadIdx.x + c);\n"
                       "    for (int i = 0; i < {2}; ++i) {{\n"
                       "        #pragma unroll\n"
                       "        for (int c = 0; c < {1}; ++c) s[c] = s[c] * a + b;\n"
                       "    }}\n"
                       "    {0} sum = 0;\n"
                       "    #pragma unroll\n"
                       "    for (int c = 0; c < {1}; ++c) sum += s[c];\n"
                       "    if (sum == ({0})-1) *out = sum;\n"
                       "}}\n",
                       dtype == DType::float32 ? "float" : "double", device_chains, device_rounds);
}

/// Seconds between two events around what `enqueue` puts on the stream.
double timed(const DeviceStream& stream, const std::function<void()>& enqueue) {
    DeviceEvent start, end;
    start.record(stream.get());
    enqueue();
    end.record(stream.get());
    return end.milliseconds_since(start) * 1e-3;
}

double copy_rate(const DeviceStream& stream) {
    const Driver& driver = Driver::get();
    // Larger than the second-level cache, and a small part of the memory.
    const std::size_t bytes = std::size_t{1} << 30;
    const DeviceBuffer from(bytes), to(bytes);
    const auto address = [](const DeviceBuffer& buffer) { return reinterpret_cast<CudaAddress>(buffer.data()); };
    const Timing timing = time_runs([&] {
        return timed(stream, [&] {
            driver.check(driver.copy_on_device_async(address(to), address(from), bytes, stream.get()), "cuMemcpyDtoDAsync");
        });
    });
    return 2.0 * static_cast<double>(bytes) / timing.best;
}

double fma_rate(DType dtype, const Target& target, const DeviceStream& stream) {
    const Driver& driver = Driver::get();
    const std::vector<std::string> options{"--gpu-architecture=" + target.name};
    const Nvrtc::Result compiled = Nvrtc::load()->compile(fma_source(dtype), "multiply_add.cu", options, Nvrtc::Output::cubin);
    CudaModule module = nullptr;
    CudaFunction function = nullptr;
    driver.check(driver.load_module(&module, compiled.code.data()), "cuModuleLoadData");
    driver.check(driver.module_function(&function, module, "multiply_add"), "cuModuleGetFunction");

    const DeviceBuffer out(sizeof(double));
    void* pointer = out.data();
    std::array<float, 2> a32{0.999f, 0.001f};
    std::array<double, 2> a64{0.999, 0.001};
    const bool single = dtype == DType::float32;
    void* arguments[] = {&pointer, single ? static_cast<void*>(&a32[0]) : &a64[0],
                         single ? static_cast<void*>(&a32[1]) : &a64[1]};
    const auto blocks = static_cast<unsigned>(current_device().multiprocessors * blocks_per_multiprocessor);
    const Timing timing = time_runs([&] {
        return timed(stream, [&] {
            driver.check(
                driver.launch_kernel(function, blocks, 1, 1, threads_per_block, 1, 1, 0, stream.get(), arguments, nullptr),
                "cuLaunchKernel");
        });
    });
    driver.check(driver.unload_module(module), "cuModuleUnload");
    return static_cast<double>(blocks) * threads_per_block * device_rounds * device_chains / timing.best;
}

}  // namespace

Peak measure_cuda(DType dtype, const Target& target) {
    const CurrentContext context;
    const DeviceStream stream;
    return {copy_rate(stream), fma_rate(dtype, target, stream)};
}

}  // namespace flashtp::tools
