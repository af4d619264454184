// What needs a device. Without one these cases say SKIPPED.
#include <doctest/doctest.h>

#include "ir/error.hpp"
#include "runtime/backend_cuda.hpp"
#include "runtime/device.hpp"
#include "runtime/driver.hpp"
#include "tests/codegen/sample_data.hpp"
#include "tests/codegen/sample_kernels.hpp"
#include "tests/support/device_or_skip.hpp"

using namespace flashtp;
using namespace flashtp::test;

namespace {

/// Runs the kernel of every construct on the device and compares. Without `senders`, edge e comes from sender e.
template <class T>
void run(const Kernel& kernel, int rows_per_warp, bool senders) {
    CAPTURE(kernel.target.name);
    CAPTURE(static_cast<int>(kernel.tasks.front().copy));
    CAPTURE(rows_per_warp);
    CAPTURE(senders);
    const auto backend = make_cuda_backend();
    const auto module = backend->load(facts_of(kernel), backend->compile(kernel, backend->source(kernel)));
    SampleData<T> data(!senders);
    const auto pointers = data.pointers();
    std::vector<DeviceBuffer> buffers;
    LaunchArguments launch;
    for (std::size_t n = 0; n < pointers.size(); ++n) {
        const std::size_t ints = n == arg_sender ? data.sender.size() : n == arg_row_ptr ? data.row_ptr.size() : 0;
        const std::size_t bytes = ints * sizeof(int) + data.operands[n].size() * sizeof(T);
        buffers.emplace_back(bytes);
        buffers.back().upload(pointers[n], bytes);
        launch.buffers.push_back(n == arg_sender && !senders ? nullptr : buffers.back().data());
    }
    const DeviceStream stream;
    launch.rows = data.nodes;
    launch.shape.rows_per_warp = rows_per_warp;
    launch.stream = stream.get();
    module->launch(launch, 0, launch.rows);
    stream.synchronize();
    for (std::size_t n = arg_out; n < argument_count; ++n) buffers[n].download(data.operands[n].data(), buffers[n].bytes());
    data.check();
    CHECK(cuda_kernel_facts(*module).blocks_per_multiprocessor > 0);
}

template <class T>
void run_all(DType dtype) {
    const Target target = current_device_target();
    std::vector<CopyMechanism> mechanisms = {CopyMechanism::plain, CopyMechanism::groups};
    if (target.copy == CopyMechanism::barrier) mechanisms.push_back(CopyMechanism::barrier);
    for (const CopyMechanism copy : mechanisms)
        for (const int rows_per_warp : {0, 1, 3, 100})
            for (const bool senders : {true, false}) run<T>(every_construct(target.name, dtype, copy), rows_per_warp, senders);
}

}  // namespace

TEST_CASE("cuda: every construct computes what plain loops compute, float32") {
    if (device_or_skip()) run_all<float>(DType::float32);
}

TEST_CASE("cuda: every construct computes what plain loops compute, float64") {
    if (device_or_skip()) run_all<double>(DType::float64);
}

TEST_CASE("cuda: device facts, streams, events and memory") {
    if (!device_or_skip()) return;
    const DeviceFacts facts = current_device();
    CHECK(facts.name != "");
    CHECK(facts.multiprocessors > 0);
    CHECK(facts.shared_bytes_per_block >= 48 * 1024);
    CHECK(cuda_devices().size() >= 1);
    CHECK(current_context() == current_context());

    DeviceStream stream;
    DeviceEvent start, stop;
    DeviceBuffer buffer(1024);
    buffer.fill(7);
    start.record(stream.get());
    const Driver& driver = Driver::get();
    driver.check(driver.set_bytes_async(reinterpret_cast<CudaAddress>(buffer.data()), 0, 512, stream.get()), "cuMemsetD8Async");
    stop.record(stream.get());
    CHECK(stop.milliseconds_since(start) >= 0);
    std::vector<unsigned char> bytes(1024);
    buffer.download(bytes.data(), bytes.size());
    CHECK(bytes[511] == 0);
    CHECK(bytes[512] == 7);
    DeviceBuffer moved = std::move(buffer);
    CHECK(buffer.data() == nullptr);
    CHECK(moved.bytes() == 1024);
    CHECK_THROWS_AS(moved.upload(bytes.data(), 1024, 1), InternalError);
}

TEST_CASE("cuda: nothing to do, and code that is not code") {
    if (!device_or_skip()) return;
    const Kernel kernel = scaled_rows(current_device_target().name);
    const auto backend = make_cuda_backend();
    Artifact artifact = backend->compile(kernel, backend->source(kernel));
    const auto module = backend->load(facts_of(kernel), artifact);
    LaunchArguments launch;
    launch.buffers.resize(3);
    CHECK_NOTHROW(module->launch(launch, 0, 0));
    launch.buffers.resize(2);
    CHECK_THROWS_AS(module->launch(launch, 0, 1), InternalError);
    artifact.code = {1, 2, 3, 4, 5, 6, 7, 8};
    CHECK_THROWS_AS(backend->load(facts_of(kernel), artifact), DeviceError);
}

TEST_CASE("device_target: its own architecture, else the newest older one of the generation") {
    CHECK(device_target(90).name == "sm_90a");
    CHECK(device_target(80).name == "sm_80");
    CHECK(device_target(87).name == "sm_86");
    CHECK(device_target(89).name == "sm_89");
    CHECK(device_target(103).name == "sm_100");
    CHECK(device_target(121).name == "sm_120");
    CHECK_THROWS_AS(device_target(75), DeviceError);
}

TEST_CASE("cuda: without a driver every call says so") {
    if (has_cuda_device()) return;
    CHECK_THROWS_AS(current_device(), DeviceError);
    CHECK_THROWS_AS(current_context(), DeviceError);
    CHECK_THROWS_AS(DeviceBuffer(8), DeviceError);
    const Kernel kernel = scaled_rows("sm_90a");
    CHECK_THROWS_AS(make_cuda_backend()->load(facts_of(kernel), Artifact{}), DeviceError);
}
