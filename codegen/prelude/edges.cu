// Builds the receiver index on a device: a stable radix sort of the edges by receiver, eight bits a pass, and the row pointers.
// Every step gives the same result however the device schedules it: there are no additions whose order could matter, and places
// follow from counts.
//
// One warp owns a chunk of consecutive edges. A pass counts the digits of every chunk, sums the counts over digits first and
// chunks second, and moves every edge to its digit's place, in order.

typedef long long Wide;
constexpr int digits = 256;
constexpr unsigned full_warp = 0xffffffffu;

// Of a list with room for so many edges: all of them, or as many as a number in device memory says.
__device__ Wide filled(Wide capacity, const Wide* count) {
    if (!count) return capacity;
    const Wide wanted = *count < 0 ? 0 : *count;
    return wanted < capacity ? wanted : capacity;
}

// report[0]: the first edge with a row out of range, all bits set where there is none; report[1]: 1 where the edges are not in
// order of their receivers. Rows out of range are replaced so that nothing below leaves its arrays; edges beyond the capacity are the
// last to be reported.
template <class Index>
__device__ void begin(const Index* sender, const Index* receiver, Wide capacity, const Wide* count, Wide senders, Wide receivers,
                      int* key, int* edge, Wide* report) {
    const Wide edges = filled(capacity, count);
    if (blockIdx.x == 0 && threadIdx.x == 0 && count && *count > capacity)
        atomicMin((unsigned long long*)report, (unsigned long long)capacity);
    for (Wide e = blockIdx.x * (Wide)blockDim.x + threadIdx.x; e < edges; e += (Wide)gridDim.x * blockDim.x) {
        const Wide row = receiver[e], other = sender[e];
        const bool fits = row >= 0 && row < receivers && other >= 0 && other < senders;
        if (!fits) atomicMin((unsigned long long*)report, (unsigned long long)e);
        if (e > 0 && (Wide)receiver[e - 1] > row) report[1] = 1;
        key[e] = row >= 0 && row < receivers ? (int)row : 0;
        edge[e] = (int)e;
    }
}

extern "C" __global__ void begin_32(const int* sender, const int* receiver, Wide capacity, const Wide* count, Wide senders,
                                    Wide receivers, int* key, int* edge, Wide* report) {
    begin(sender, receiver, capacity, count, senders, receivers, key, edge, report);
}
extern "C" __global__ void begin_64(const Wide* sender, const Wide* receiver, Wide capacity, const Wide* count, Wide senders,
                                    Wide receivers, int* key, int* edge, Wide* report) {
    begin(sender, receiver, capacity, count, senders, receivers, key, edge, report);
}

// Where edges of one receiver are to be in the order of their senders, they are sorted by sender first, and then by receiver.
template <class Index>
__device__ void key_by(const Index* rows, const int* edge, Wide capacity, const Wide* count, Wide limit, int* key) {
    const Wide edges = filled(capacity, count);
    for (Wide e = blockIdx.x * (Wide)blockDim.x + threadIdx.x; e < edges; e += (Wide)gridDim.x * blockDim.x) {
        const Wide row = rows[edge[e]];
        key[e] = row >= 0 && row < limit ? (int)row : 0;
    }
}

extern "C" __global__ void key_by_32(const int* rows, const int* edge, Wide capacity, const Wide* count, Wide limit, int* key) {
    key_by(rows, edge, capacity, count, limit, key);
}
extern "C" __global__ void key_by_64(const Wide* rows, const int* edge, Wide capacity, const Wide* count, Wide limit, int* key) {
    key_by(rows, edge, capacity, count, limit, key);
}

template <class Index>
__device__ void note_senders(const Index* sender, const Index* receiver, Wide capacity, const Wide* count, Wide* report) {
    const Wide edges = filled(capacity, count);
    for (Wide e = blockIdx.x * (Wide)blockDim.x + threadIdx.x + 1; e < edges; e += (Wide)gridDim.x * blockDim.x)
        if (receiver[e - 1] == receiver[e] && sender[e - 1] > sender[e]) report[1] = 1;
}

extern "C" __global__ void note_senders_32(const int* sender, const int* receiver, Wide capacity, const Wide* count, Wide* report) {
    note_senders(sender, receiver, capacity, count, report);
}
extern "C" __global__ void note_senders_64(const Wide* sender, const Wide* receiver, Wide capacity, const Wide* count, Wide* report) {
    note_senders(sender, receiver, capacity, count, report);
}

__device__ int digit_of(int key, int shift) { return (key >> shift) & (digits - 1); }

// counts[digit][chunk]. A block is one warp.
extern "C" __global__ void count_digits(const int* key, Wide capacity, const Wide* edge_count, Wide chunk, int chunks, int shift,
                                        int* counts) {
    __shared__ int count[digits];
    for (int d = threadIdx.x; d < digits; d += 32) count[d] = 0;
    __syncwarp();
    const Wide edges = filled(capacity, edge_count);
    const Wide first = blockIdx.x * chunk, last = first + chunk < edges ? first + chunk : edges;
    for (Wide e = first + threadIdx.x; e < last; e += 32) atomicAdd(&count[digit_of(key[e], shift)], 1);
    __syncwarp();
    for (int d = threadIdx.x; d < digits; d += 32) counts[d * (Wide)chunks + blockIdx.x] = count[d];
}

__device__ int sum_up_to_lane(int value) {
    for (int distance = 1; distance < 32; distance *= 2) {
        const int below = __shfl_up_sync(full_warp, value, distance);
        if ((threadIdx.x & 31) >= distance) value += below;
    }
    return value;
}

// Replaces every count by the sum of those before it. One block of 1024 threads goes through all of them.
extern "C" __global__ void sum_counts(int* counts, int size) {
    __shared__ int warp_sum[32];
    const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
    int carry = 0;
    for (int tile = 0; tile < size; tile += blockDim.x) {
        const int at = tile + threadIdx.x;
        const int value = at < size ? counts[at] : 0;
        const int inclusive = sum_up_to_lane(value);
        if (lane == 31) warp_sum[warp] = inclusive;
        __syncthreads();
        if (warp == 0) warp_sum[lane] = sum_up_to_lane(warp_sum[lane]);
        __syncthreads();
        const int before = carry + (warp > 0 ? warp_sum[warp - 1] : 0) + inclusive - value;
        if (at < size) counts[at] = before;
        carry += warp_sum[31];
        __syncthreads();
    }
}

// A block is one warp and goes through its chunk 32 edges at a time. Among lanes with one digit the lower lane goes first.
extern "C" __global__ void place_edges(const int* key, const int* edge, Wide capacity, const Wide* edge_count, Wide chunk,
                                       int chunks, int shift, const int* counts, int* placed_key, int* placed_edge) {
    __shared__ int place[digits];
    for (int d = threadIdx.x; d < digits; d += 32) place[d] = counts[d * (Wide)chunks + blockIdx.x];
    __syncwarp();
    const int lane = threadIdx.x;
    const Wide edges = filled(capacity, edge_count);
    const Wide first = blockIdx.x * chunk, last = first + chunk < edges ? first + chunk : edges;
    for (Wide start = first; start < last; start += 32) {
        const Wide e = start + lane;
        const bool active = e < last;
        // Lanes without an edge form a group of their own.
        const int digit = active ? digit_of(key[e], shift) : digits;
        const unsigned peers = __match_any_sync(full_warp, digit);
        const int rank = __popc(peers & ((1u << lane) - 1));
        const int at = active ? place[digit] + rank : 0;
        __syncwarp();
        if (active && rank == 0) place[digit] += __popc(peers);
        __syncwarp();
        if (!active) continue;
        placed_key[at] = key[e];
        placed_edge[at] = edge[e];
    }
}

// The arrays the kernels read. row_ptr[r] is the number of edges whose receiver is below r.
template <class Index>
__device__ void finish(const Index* unsorted_sender, const int* key, const int* sorted_edge, Wide capacity, const Wide* count,
                       Wide senders, Wide receivers, int* row_ptr, int* sender, int* edge) {
    const Wide edges = filled(capacity, count);
    const Wide first = blockIdx.x * (Wide)blockDim.x + threadIdx.x, step = (Wide)gridDim.x * blockDim.x;
    for (Wide e = first; e < edges; e += step) {
        const int original = sorted_edge[e];
        const Wide row = unsorted_sender[original];
        edge[e] = original;
        sender[e] = row >= 0 && row < senders ? (int)row : 0;
    }
    for (Wide r = first; r <= receivers; r += step) {
        Wide low = 0, high = edges;
        while (low < high) {
            const Wide middle = (low + high) / 2;
            if (key[middle] < r) low = middle + 1;
            else high = middle;
        }
        row_ptr[r] = (int)low;
    }
}

extern "C" __global__ void finish_32(const int* unsorted_sender, const int* key, const int* sorted_edge, Wide capacity,
                                     const Wide* count, Wide senders, Wide receivers, int* row_ptr, int* sender, int* edge) {
    finish(unsorted_sender, key, sorted_edge, capacity, count, senders, receivers, row_ptr, sender, edge);
}
extern "C" __global__ void finish_64(const Wide* unsorted_sender, const int* key, const int* sorted_edge, Wide capacity,
                                     const Wide* count, Wide senders, Wide receivers, int* row_ptr, int* sender, int* edge) {
    finish(unsorted_sender, key, sorted_edge, capacity, count, senders, receivers, row_ptr, sender, edge);
}
