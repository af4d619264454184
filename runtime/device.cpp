#include "runtime/device.hpp"

#include <algorithm>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "ir/error.hpp"
#include "runtime/driver.hpp"

namespace flashtp {
namespace {

CudaAddress address(const void* data, std::size_t offset = 0) { return reinterpret_cast<CudaAddress>(data) + offset; }

DeviceFacts facts_of(int device) {
    const Driver& driver = Driver::get();
    const auto attribute = [&](int id) {
        int value = 0;
        driver.check(driver.device_attribute(&value, id, device), "cuDeviceGetAttribute");
        return value;
    };
    char name[256] = {};
    driver.check(driver.device_name(name, sizeof name - 1, device), "cuDeviceGetName");
    std::size_t memory = 0;
    driver.check(driver.device_memory(&memory, device), "cuDeviceTotalMem");
    DeviceFacts facts;
    facts.ordinal = device;
    facts.name = name;
    facts.compute_capability = attribute(cuda_attribute::capability_major) * 10 + attribute(cuda_attribute::capability_minor);
    facts.multiprocessors = attribute(cuda_attribute::multiprocessors);
    facts.threads_per_multiprocessor = attribute(cuda_attribute::threads_per_multiprocessor);
    facts.clock_khz = attribute(cuda_attribute::clock_khz);
    facts.memory_bytes = static_cast<std::int64_t>(memory);
    facts.l2_bytes = attribute(cuda_attribute::l2_bytes);
    facts.shared_bytes_per_block = attribute(cuda_attribute::shared_per_block);
    facts.shared_bytes_per_multiprocessor = attribute(cuda_attribute::shared_per_multiprocessor);
    driver.check(driver.driver_version(&facts.driver_version), "cuDriverGetVersion");
    return facts;
}

}  // namespace

// ---- devices ------------------------------------------------------------------------------------------------------------------

bool has_cuda_device(std::string* why_not) {
    try {
        Driver::get();
        return true;
    } catch (const DeviceError& error) {
        if (why_not) *why_not = error.what();
        return false;
    }
}

std::vector<DeviceFacts> cuda_devices() {
    const Driver& driver = Driver::get();
    int count = 0;
    driver.check(driver.device_count(&count), "cuDeviceGetCount");
    std::vector<DeviceFacts> devices;
    for (int ordinal = 0; ordinal < count; ++ordinal) {
        int device = 0;
        driver.check(driver.device_get(&device, ordinal), "cuDeviceGet");
        devices.push_back(facts_of(device));
    }
    return devices;
}

DeviceFacts current_device() {
    const CurrentContext context;
    int device = 0;
    Driver::get().check(Driver::get().context_device(&device), "cuCtxGetDevice");
    return facts_of(device);
}

Target device_target(int compute_capability) {
    Target best;
    for (const std::string& name : known_targets()) {
        if (!name.starts_with("sm_")) continue;
        const Target target = cuda_target(name);
        const bool same_generation = target.compute_capability / 10 == compute_capability / 10;
        if (!same_generation || target.compute_capability > compute_capability) continue;
        // Code for an architecture with the suffix `a` runs on exactly that one, and is the better code there.
        const bool exact = target.compute_capability == compute_capability;
        if (name.back() == 'a' && !exact) continue;
        const bool better = target.compute_capability > best.compute_capability || (name.back() == 'a' && exact);
        if (better) best = target;
    }
    if (best.compute_capability == 0)
        throw DeviceError(fmt::format("no target for a device of compute capability {}.{}; targets: {}", compute_capability / 10,
                                      compute_capability % 10, fmt::join(known_targets(), ", ")));
    return best;
}

Target current_device_target() {
    const DeviceFacts device = current_device();
    Target target = device_target(device.compute_capability);
    target.device = device.name;
    return target;
}

void* current_context() { return CurrentContext().get(); }

void synchronize_device() {
    const CurrentContext context;
    Driver::get().check(Driver::get().synchronize_context(), "cuCtxSynchronize");
}

// ---- memory -------------------------------------------------------------------------------------------------------------------

DeviceBuffer::DeviceBuffer(std::size_t bytes) : bytes_(bytes) {
    if (bytes == 0) return;
    const CurrentContext context;
    CudaAddress result = 0;
    Driver::get().check(Driver::get().allocate(&result, bytes), "cuMemAlloc");
    data_ = reinterpret_cast<void*>(result);
    context_ = context.get();
}

DeviceBuffer::DeviceBuffer(DeviceBuffer&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), bytes_(std::exchange(other.bytes_, 0)), context_(other.context_) {}

DeviceBuffer& DeviceBuffer::operator=(DeviceBuffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    std::swap(context_, other.context_);
    return *this;
}

void DeviceBuffer::reset() noexcept {
    if (!data_) return;
    try {
        const CurrentContext context(context_);
        Driver::get().release(address(data_));
    } catch (const DeviceError&) {
        // The context is gone, and the memory with it.
    }
}

void DeviceBuffer::upload(const void* from, std::size_t bytes, std::size_t offset) {
    if (bytes == 0) return;
    if (offset > bytes_ || bytes > bytes_ - offset)
        internal_error("{} bytes at {} into a device buffer of {}", bytes, offset, bytes_);
    const CurrentContext context(context_);
    Driver::get().check(Driver::get().copy_to_device(address(data_, offset), from, bytes), "cuMemcpyHtoD");
    // That call returns once the driver has its own copy, and only the default stream waits for the rest; launches may be on any.
    Driver::get().check(Driver::get().synchronize_stream(nullptr), "cuStreamSynchronize");
}

void DeviceBuffer::download(void* to, std::size_t bytes, std::size_t offset) const {
    if (bytes == 0) return;
    if (offset > bytes_ || bytes > bytes_ - offset)
        internal_error("{} bytes at {} from a device buffer of {}", bytes, offset, bytes_);
    const CurrentContext context(context_);
    // A copy waits for the default stream only; the data may come from any.
    Driver::get().check(Driver::get().synchronize_context(), "cuCtxSynchronize");
    Driver::get().check(Driver::get().copy_to_host(to, address(data_, offset), bytes), "cuMemcpyDtoH");
}

void DeviceBuffer::fill(unsigned char byte) {
    if (bytes_ == 0) return;
    const CurrentContext context(context_);
    Driver::get().check(Driver::get().set_bytes_async(address(data_), byte, bytes_, nullptr), "cuMemsetD8Async");
    Driver::get().check(Driver::get().synchronize_context(), "cuCtxSynchronize");
}

// ---- streams and events -------------------------------------------------------------------------------------------------------

DeviceStream::DeviceStream() {
    constexpr unsigned non_blocking = 1;
    const CurrentContext context;
    Driver::get().check(Driver::get().create_stream(&stream_, non_blocking), "cuStreamCreate");
    context_ = context.get();
}

DeviceStream::~DeviceStream() { Driver::get().destroy_stream(stream_); }

void DeviceStream::synchronize() const {
    const CurrentContext context(context_);
    Driver::get().check(Driver::get().synchronize_stream(stream_), "cuStreamSynchronize");
}

DeviceEvent::DeviceEvent() {
    const CurrentContext context;
    Driver::get().check(Driver::get().create_event(&event_, 0), "cuEventCreate");
    context_ = context.get();
}

DeviceEvent::~DeviceEvent() { Driver::get().destroy_event(event_); }

void DeviceEvent::record(void* stream) {
    const CurrentContext context(context_);
    Driver::get().check(Driver::get().record_event(event_, stream), "cuEventRecord");
}

void DeviceEvent::synchronize() const { Driver::get().check(Driver::get().synchronize_event(event_), "cuEventSynchronize"); }

double DeviceEvent::milliseconds_since(const DeviceEvent& earlier) const {
    synchronize();
    float milliseconds = 0;
    Driver::get().check(Driver::get().elapsed_time(&milliseconds, earlier.event_, event_), "cuEventElapsedTime");
    return milliseconds;
}

}  // namespace flashtp
