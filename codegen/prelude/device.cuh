// What generated kernels call. A kernel is a program for one warp of 32 lanes in lock step; nothing here reaches beyond a warp.
// Compiled by NVRTC, which needs no header for it. Kernels use `warp::` names only, so operand names cannot clash.
namespace warp {

using u32 = unsigned int;
using u64 = unsigned long long;
using barrier = u64;  // an mbarrier; one a ring stage

enum : u32 { everyone = 0xffffffffu };  // an enumerator, so that no memory holds it

__device__ __forceinline__ u32 shared_address(const void* p) { return static_cast<u32>(__cvta_generic_to_shared(p)); }
__device__ __forceinline__ u64 global_address(const void* p) { return __cvta_generic_to_global(p); }

// The value of lane 0, where all lanes have the same. It tells the compiler so: branches that follow from it need no care for lanes
// that diverge, and addresses go to the uniform datapath, which has registers of its own.
__device__ __forceinline__ int uniform(int v) { return __shfl_sync(everyone, v, 0); }

// The rows there are, where a launch is given the capacity of its arrays: as many as a number in device memory says. Receivers need none,
// as the index says which of them have edges.
__device__ __forceinline__ int filled(int capacity, const long long* count) {
    return count && *count < capacity ? uniform(static_cast<int>(*count)) : capacity;
}

// ---- memory -------------------------------------------------------------------------------------------------------------------

// Data that is touched once does not displace what is read again. Only for memory that no kernel of this launch writes.
__device__ __forceinline__ float load_once(const float* p) {
    float v;
    asm("ld.global.cs.nc.f32 %0, [%1];" : "=f"(v) : "l"(global_address(p)));
    return v;
}
__device__ __forceinline__ double load_once(const double* p) {
    double v;
    asm("ld.global.cs.nc.f64 %0, [%1];" : "=d"(v) : "l"(global_address(p)));
    return v;
}
template <class T, class V>
__device__ __forceinline__ void store_once(T* p, V v) {
    __stcs(p, static_cast<T>(v));
}
// The result is not used, so this is one reduction without a way back.
template <class T, class V>
__device__ __forceinline__ void atomic_add(T* p, V v) {
    atomicAdd(p, static_cast<T>(v));
}

// Runs body(i) for i = 0, 32, 64, ... where element i + lane is one of `count`: consecutive lanes touch consecutive elements. The
// body adds the lane itself, so that what differs between its copies is constant.
template <int count, class Body>
__device__ __forceinline__ void for_elements(int lane, Body body) {
#pragma unroll 8
    for (int i = 0; i < count / 32 * 32; i += 32) body(i);
    if (count % 32 != 0 && lane < count % 32) body(count / 32 * 32);
}

// ---- sums over lanes ----------------------------------------------------------------------------------------------------------

template <class T>
__device__ __forceinline__ T lane_sum(T v) {
#pragma unroll
    for (int step = 16; step > 0; step /= 2) v += __shfl_xor_sync(everyone, v, step);
    return v;
}

// n sums at once. In every step a lane keeps one half of its values, gives the other half to the lane `step` away and adds what
// it gets for the half it keeps: about n shuffles for n sums instead of 5 n. Leaves in v[0] the sum that `slot_of` names.
template <int n, int step, class T>
__device__ __forceinline__ void halve(T* v, int lane) {
    if constexpr (step > 0) {
        constexpr int low = (n + 1) / 2;
        const bool upper = (lane & step) != 0;
        if constexpr (n == 1) {
            v[0] += __shfl_xor_sync(everyone, v[0], step);
        } else {
#pragma unroll
            for (int k = 0; k < low; ++k) {
                const T other = k + low < n ? v[k + low] : T(0);
                const T given = upper ? v[k] : other;
                v[k] = (upper ? other : v[k]) + __shfl_xor_sync(everyone, given, step);
            }
        }
        halve<low, step / 2>(v, lane);
    }
}

// Which of n sums a lane holds after `halve`, if any. `low` of the `left` values go to the lower half of the lanes in every step.
struct Slot {
    int index;
    bool holds;
};
template <int n>
__device__ __forceinline__ Slot slot_of(int lane) {
    if constexpr ((n & (n - 1)) == 0) return {lane / (32 / n), lane % (32 / n) == 0};
    int index = 0, left = n, count = n;
#pragma unroll
    for (int step = 16; step > 0; step /= 2) {
        const int low = (count + 1) / 2;
        const bool upper = (lane & step) != 0;
        index += upper ? low : 0;
        left = upper ? left - low : (left < low ? left : low);
        count = low;
    }
    return {index, left > 0};
}
// The lane that holds sum k of n.
constexpr __device__ int owner_of(int k, int n) {
    int lane = 0;
    for (int step = 16; step > 0; step /= 2) {
        const int low = (n + 1) / 2;
        if (k >= low) {
            lane += step;
            k -= low;
        }
        n = low;
    }
    return lane;
}

// Replaces every v[k] by its sum over the lanes, in all lanes.
template <int n, class T>
__device__ __forceinline__ void lane_sums(T (&v)[n], int lane) {
    static_assert(n <= 32, "the sums of one run fit into the lanes");
    halve<n, 16>(v, lane);
    const T mine = v[0];
#pragma unroll
    for (int k = 0; k < n; ++k) v[k] = __shfl_sync(everyone, mine, owner_of(k, n));
}

// Calls put(k, sum of v[k] over the lanes) once for every k, spread over the lanes: one store instruction for all sums.
template <int n, class T, class Put>
__device__ __forceinline__ void reduce(T (&v)[n], int lane, Put put) {
    static_assert(n <= 32, "the sums of one run fit into the lanes");
    halve<n, 16>(v, lane);
    const Slot slot = slot_of<n>(lane);
    if (slot.holds) put(slot.index, v[0]);
}

// Adds the sum of v[k] over the lanes to `to` of lane first + k, a multiple of n rounded up to a power of two. In step s = 1, 2, 4, ...
// lanes with bit s take over the odd ones of the values that are left, so that value k ends in the lanes that end in k.
template <int n, int step, class T>
__device__ __forceinline__ void pair_up(T* v, int lane) {
    if constexpr (n == 1) {
#pragma unroll
        for (int s = step; s < 32; s *= 2) v[0] += __shfl_xor_sync(everyone, v[0], s);
    } else {
        const bool odd = (lane & step) != 0;
#pragma unroll
        for (int k = 0; k < (n + 1) / 2; ++k) {
            const T next = 2 * k + 1 < n ? v[2 * k + 1] : T(0);
            const T given = odd ? v[2 * k] : next;
            v[k] = (odd ? next : v[2 * k]) + __shfl_xor_sync(everyone, given, step);
        }
        pair_up<(n + 1) / 2, 2 * step>(v, lane);
    }
}
template <int n, class T>
__device__ __forceinline__ void spread_sums(T& to, T (&v)[n], int lane, int first) {
    static_assert(n <= 32, "the sums fit into the lanes");
    pair_up<n, 1>(v, lane);
    if (static_cast<u32>(lane - first) < n) to += v[0];
}
template <class T>
__device__ __forceinline__ T of_lane(T v, int lane) {
    return __shfl_sync(everyone, v, lane);
}

// The same through shared memory: every lane writes its values as a row, then adds up part of a column. Fewer instructions than
// exchanging halves where there are many sums, and no chain of shuffles. Rows are an odd number of 16-byte units apart.
template <int n, class T, class Put>
__device__ __forceinline__ void reduce_through(T* scratch, T (&v)[n], int lane, Put put) {
    static_assert(n <= 32, "the sums of one run fit into the lanes");
    constexpr int columns = n > 16 ? 32 : 16, parts = 32 / columns, pitch = ((n + 3) / 4 | 1) * 4, rows = 32 / parts;
    struct alignas(16) Vector {
        T part[16 / sizeof(T)];
    };
    constexpr int width = 16 / sizeof(T);
    T* mine = scratch + lane * pitch;
    __syncwarp();
#pragma unroll
    for (int k = 0; k < n; k += width) {
        Vector vector = {};
#pragma unroll
        for (int i = 0; i < width; ++i) vector.part[i] = k + i < n ? v[k + i] : T(0);
        *reinterpret_cast<Vector*>(mine + k) = vector;
    }
    __syncwarp();
    // The second half of the lanes starts four rows further on, in other banks, and wraps around.
    const int column = lane % columns, part = lane / columns;
    const T* first = scratch + (part * rows + part * 4) * pitch + column;
    const T* wrapped = first - part * rows * pitch;
    T sum[2] = {};
#pragma unroll
    for (int r = 0; r < rows; ++r) sum[r % 2] += (parts > 1 && r >= rows - 4 ? wrapped : first)[r * pitch];
    T total = sum[0] + sum[1];
    if constexpr (parts > 1) total += __shfl_xor_sync(everyone, total, columns);
    if (lane < n) put(lane, total);
}

// ---- zeros --------------------------------------------------------------------------------------------------------------------

// Memory that additions start from is zeroed by a kernel of its own. The kernel that adds is launched while that one runs (programmatic
// dependent launch, SM90), and waits for it before it writes.
struct Range {
    uint4* data;
    u64 bytes;  // a multiple of 2
};
struct Ranges {
    Range range[16];
};
__device__ __forceinline__ void zeros_ready() {
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}
// The next kernel of the launch may begin once all blocks are here; it waits for them where it needs what they make.
__device__ __forceinline__ void start_next() {
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}
// A row of blocks a range.
__device__ __forceinline__ void zero(const Ranges& ranges) {
    start_next();
    const Range range = ranges.range[blockIdx.y];
    const u64 vectors = range.bytes / 16, first = blockIdx.x * u64(blockDim.x) + threadIdx.x;
    for (u64 i = first; i < vectors; i += gridDim.x * u64(blockDim.x)) range.data[i] = uint4{0, 0, 0, 0};
    if (first < range.bytes % 16 / 2) reinterpret_cast<unsigned short*>(range.data + vectors)[first] = 0;
}

// ---- windows over index arrays ------------------------------------------------------------------------------------------------

// Reads index[begin], index[begin + 1], ... in order: the lanes hold the next 32 entries and the 32 after them, so a read costs
// a shuffle and no memory latency. A null array is the identity.
struct Window {
    const int* index;
    int begin, end, now, next;

    __device__ __forceinline__ int entry(int position) const {
        if (position >= end) return 0;
        return index ? index[position] : position;
    }
    __device__ __forceinline__ Window(const int* array, int first, int last, int lane)
        : index(array), begin(first), end(last), now(entry(first + lane)), next(entry(first + 32 + lane)) {}
    // The entry at a position, which may differ between lanes, of those before the next advance.
    __device__ __forceinline__ int at(int position) const { return __shfl_sync(everyone, now, (position - begin) & 31); }
    // Whether the entries held end with `count` from `first` on: a power of two, and the same for every read of the window.
    template <int count>
    __device__ __forceinline__ bool ends(int first) const { return ((first - begin) & 31) == 32 - count; }
    template <int count>
    __device__ __forceinline__ void advance(int first, int lane) {
        now = next;
        next = entry(first + count + 32 + lane);
    }
};

// ---- asynchronous copies into shared memory -----------------------------------------------------------------------------------

// The distance from both addresses is part of the instruction.
template <int bytes, int distance>
__device__ __forceinline__ void copy_async(u32 shared, u64 global) {
    static_assert(bytes == 4 || bytes == 8 || bytes == 16, "cp.async moves 4, 8 or 16 bytes");
    if constexpr (bytes == 16)
        asm volatile("cp.async.cg.shared.global [%0 + %2], [%1 + %2], 16;" ::"r"(shared), "l"(global), "n"(distance) : "memory");
    else
        asm volatile("cp.async.ca.shared.global [%0 + %2], [%1 + %2], %3;" ::"r"(shared), "l"(global), "n"(distance), "n"(bytes)
                     : "memory");
}
template <int count, int bytes, int team, int done = 0>
__device__ __forceinline__ void copy_vectors(u32 shared, u64 global, int member) {
    if constexpr (done + team <= count) {
        copy_async<bytes, done * bytes>(shared, global);
        copy_vectors<count, bytes, team, done + team>(shared, global, member);
    } else if constexpr (done < count) {
        if (member < count - done) copy_async<bytes, done * bytes>(shared, global);
    }
}
// A team of lanes copies `count` elements, `vector` at a time.
template <int count, int vector, int team, class Word, class T>
__device__ __forceinline__ void copy_elements(Word* shared, const T* global, int lane) {
    static_assert(count % vector == 0, "whole vectors");
    constexpr int bytes = vector * static_cast<int>(sizeof(T));
    const int member = lane % team;
    copy_vectors<count / vector, bytes, team>(shared_address(shared) + member * bytes, global_address(global) + member * bytes, member);
}

// For the copies of this lane. Copies into the ring that it waits for as well are the next to be needed.
__device__ __forceinline__ void wait_copied() { asm volatile("cp.async.wait_all;" ::: "memory"); }

// Groups (SM80). `in_flight` counts the groups committed and not yet waited for: they finish in order, and the oldest is wanted.
__device__ __forceinline__ void commit_group(int& in_flight) {
    asm volatile("cp.async.commit_group;" ::: "memory");
    ++in_flight;
}
template <int pending>
__device__ __forceinline__ void wait_groups() {
    asm volatile("cp.async.wait_group %0;" ::"n"(pending) : "memory");
}
template <int stages>
__device__ __forceinline__ void wait_oldest_group(int& in_flight) {
    // A full ring is the common case; at the end of the edges the last few waits are for everything.
    if (in_flight == stages)
        wait_groups<stages - 1>();
    else if (stages > 2 && in_flight == stages - 1)
        wait_groups<(stages > 2 ? stages - 2 : 0)>();
    else
        wait_groups<0>();
    --in_flight;
    __syncwarp();
}

// Barriers (SM90). A stage's phase ends when its arrivals have come and its bytes have landed.
template <int stages, int arrivals>
__device__ __forceinline__ void init_barriers(barrier* barriers, int lane) {
    if (lane == 0) {
#pragma unroll
        for (int i = 0; i < stages; ++i)
            asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(barriers + i)), "r"(arrivals) : "memory");
        asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
    }
    __syncwarp();
}
// True in one lane. Unlike a comparison of the lane it tells the compiler that only one is left, which then issues a bulk copy with
// uniform registers instead of in a loop over lanes.
__device__ __forceinline__ bool elected() {
    u32 one;
    asm volatile(
        "{\n"
        ".reg .pred one;\n"
        "elect.sync _|one, 0xffffffff;\n"
        "selp.b32 %0, 1, 0, one;\n"
        "}"
        : "=r"(one));
    return one;
}
__device__ __forceinline__ void expect(barrier* b, int bytes) {
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(b)), "r"(bytes) : "memory");
}
// Executed by one lane; 16-byte aligned.
__device__ __forceinline__ void copy_bulk(void* shared, const void* global, int bytes, barrier* b) {
    asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(
                     shared_address(shared)),
                 "l"(global_address(global)), "r"(bytes), "r"(shared_address(b))
                 : "memory");
}
// This lane arrives once its earlier copy_async have landed.
__device__ __forceinline__ void arrive_when_copied(barrier* b) {
    asm volatile("cp.async.mbarrier.arrive.noinc.shared::cta.b64 [%0];" ::"r"(shared_address(b)) : "memory");
}
__device__ __forceinline__ void wait(barrier* b, int phase) {
    asm volatile(
        "{\n"
        ".reg .pred done;\n"
        "AGAIN:\n"
        "mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n"
        "@done bra LANDED;\n"
        "bra AGAIN;\n"
        "LANDED:\n"
        "}" ::"r"(shared_address(b)),
        "r"(phase)
        : "memory");
}

// ---- asynchronous additions from shared to global memory ----------------------------------------------------------------------

__device__ __forceinline__ void add_bulk_instruction(float* global, u32 shared, int bytes) {
    asm volatile("cp.reduce.async.bulk.global.shared::cta.bulk_group.add.f32 [%0], [%1], %2;" ::"l"(global_address(global)),
                 "r"(shared), "r"(bytes)
                 : "memory");
}
__device__ __forceinline__ void add_bulk_instruction(double* global, u32 shared, int bytes) {
    asm volatile("cp.reduce.async.bulk.global.shared::cta.bulk_group.add.f64 [%0], [%1], %2;" ::"l"(global_address(global)),
                 "r"(shared), "r"(bytes)
                 : "memory");
}
// The lanes' writes become visible to the asynchronous proxy, then one lane adds count elements as one group. With `pending` it waits
// until at most so many groups still read shared memory; the other lanes know after they met it again. Only the lane that issued the
// groups can wait for them: it is elected every time.
template <int count, int pending, class T>
__device__ __forceinline__ void add_bulk(T* global, const T* shared) {
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
    __syncwarp();
    if (elected()) {
        add_bulk_instruction(global, shared_address(shared), count * static_cast<int>(sizeof(T)));
        asm volatile("cp.async.bulk.commit_group;" ::: "memory");
        if constexpr (pending >= 0) asm volatile("cp.async.bulk.wait_group.read %0;" ::"n"(pending) : "memory");
    }
}
__device__ __forceinline__ void end_bulk() {
    if (elected()) asm volatile("cp.async.bulk.wait_group.read 0;" ::: "memory");
    __syncwarp();
}

}  // namespace warp
