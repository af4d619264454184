#include "runtime/scratch_pool.hpp"

#include "ir/error.hpp"
#include "runtime/device.hpp"
#include "runtime/driver.hpp"

namespace flashtp {

namespace {

constexpr int pinned = 1, on_device = 1, release_threshold = 4;  // CU_MEM_ALLOCATION_TYPE_, CU_MEM_LOCATION_TYPE_, CU_MEMPOOL_ATTR_

}  // namespace

ScratchPool::ScratchPool() {
    const Driver& driver = Driver::get();
    const CurrentContext current;
    const AllowedDuringCapture allowed;
    context_ = current.get();
    CudaPoolProperties properties{};
    properties.allocation_type = pinned;
    properties.location_type = on_device;
    driver.check(driver.context_device(&properties.location), "cuCtxGetDevice");
    driver.check(driver.create_pool(&pool_, &properties), "cuMemPoolCreate");
    std::uint64_t keep = UINT64_MAX;
    driver.check(driver.set_pool_attribute(pool_, release_threshold, &keep), "cuMemPoolSetAttribute");
}

ScratchPool::~ScratchPool() {
    try {
        const CurrentContext current(context_);
        Driver::get().destroy_pool(pool_);
    } catch (const DeviceError&) {
        // The context is gone, and the memory with it.
    }
}

void ScratchPool::reserve(std::int64_t bytes) const {
    const AllowedDuringCapture allowed;
    const DeviceStream stream;
    { const Borrowed all(this, bytes, stream.get()); }
    stream.synchronize();
}

ScratchPool::Borrowed::Borrowed(const ScratchPool* pool, std::int64_t bytes, void* stream) : stream_(stream) {
    if (bytes <= 0) return;
    const Driver& driver = Driver::get();
    CudaAddress memory = 0;
    driver.check(driver.allocate_from_pool(&memory, static_cast<std::size_t>(bytes), pool->pool_, stream), "cuMemAllocFromPoolAsync");
    data_ = reinterpret_cast<std::byte*>(memory);
}

// A failure here is that of an earlier call, which was reported.
ScratchPool::Borrowed::~Borrowed() {
    if (data_) Driver::get().release_async(reinterpret_cast<CudaAddress>(data_), stream_);
}

}  // namespace flashtp
