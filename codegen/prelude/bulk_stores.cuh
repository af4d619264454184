// Follows device.cuh where a kernel stores in bulk: like add_bulk, with a copy for the reduction.
namespace warp {

template <int count, int pending, class T>
__device__ __forceinline__ void store_bulk(T* global, const T* shared) {
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
    __syncwarp();
    if (elected()) {
        asm volatile("cp.async.bulk.global.shared::cta.bulk_group [%0], [%1], %2;" ::"l"(global_address(global)),
                     "r"(shared_address(shared)), "r"(count * static_cast<int>(sizeof(T)))
                     : "memory");
        asm volatile("cp.async.bulk.commit_group;" ::: "memory");
        if constexpr (pending >= 0) asm volatile("cp.async.bulk.wait_group.read %0;" ::"n"(pending) : "memory");
    }
}

}  // namespace warp
