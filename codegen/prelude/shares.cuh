// How all warps of a launch share its edges, whatever their receivers.
namespace warp {

// What a warp does of a kernel's list of tasks and chunks, and which one this is of those that do the same.
struct Turn {
    int place = blockIdx.y;
    unsigned warp, warps;

    // A row of blocks a place; or, in a grid of one row, warps are dealt out by the efforts of the places before (of 2^32), and at least
    // one to each. Warps of a block mostly share a task's code that way.
    template <int places>
    __device__ __forceinline__ Turn(const unsigned (&efforts)[places], int warps_a_block, int warp_in_block)
        : warp(blockIdx.x * warps_a_block + warp_in_block), warps(gridDim.x * warps_a_block) {
        if (places == 1 || gridDim.y > 1) return;
        unsigned first = 0, end = warps;
        const unsigned shared = warps - places;
        place = 0;
#pragma unroll
        for (int next = 1; next < places; ++next) {
            const unsigned begin = next + __umulhi(shared, efforts[next]);
            if (begin <= warp) place = next, first = begin;
            else if (begin < end) end = begin;
        }
        warp -= first;
        warps = end - first;
    }
};
// The rows that a warp does, and of their edges those at positions [begin, end).
struct Part {
    int row_begin, row_end, begin = 0, end = 0x7fffffff;
    bool split = false;  // what it stores to rows is added

    // Whole rows of [first, last).
    __device__ __forceinline__ Part(int first, int last, int rows_a_warp, unsigned warp) {
        const long long skipped = static_cast<long long>(warp) * rows_a_warp;
        row_begin = skipped < last - first ? first + static_cast<int>(skipped) : last;
        row_end = last - row_begin < rows_a_warp ? last : row_begin + rows_a_warp;
    }
    // As many edges of [first, last), or of as many as there are, as every other warp of the turn.
    __device__ __forceinline__ Part(const int* row_ptr, int receivers, int first, int last, const Turn& turn, int lane) : row_begin(0), row_end(0), split(true) {
        // Ends of runs of rows, one a lane: the first one that is beyond an edge has its receiver.
        const auto end_of = [&](int row, int rows) { return row_ptr[min(row + (lane + 1LL) * rows, static_cast<long long>(receivers))]; };
        int step = (receivers + 31) / 32;
        const int ends = end_of(0, step);
        last = min(last, __shfl_sync(everyone, ends, 31));
        const long long count = last > first ? last - first : 0;
        begin = uniform(first + static_cast<int>(count * turn.warp / turn.warps));
        end = uniform(first + static_cast<int>(count * (turn.warp + 1) / turn.warps));
        if (begin == end) return;
        row_begin = __popc(__ballot_sync(everyone, ends <= begin)) * step;
        row_end = __popc(__ballot_sync(everyone, ends < end)) * step;
        while (step > 1) {
            const int smaller = (step + 31) / 32;
            const int first_end = end_of(row_begin, smaller), last_end = end_of(row_end, smaller);
            row_begin += __popc(__ballot_sync(everyone, first_end <= begin)) * smaller;
            row_end += __popc(__ballot_sync(everyone, last_end < end)) * smaller;
            step = smaller;
        }
        row_begin = uniform(row_begin);
        row_end = uniform(row_end) + 1;
    }
    // Narrows the edges of the rows; false where several warps do them and none is left for this one.
    __device__ __forceinline__ bool narrow(int& first, int& last) const {
        first = max(first, begin);
        last = max(first, min(last, end));
        return !split || first < last;
    }
};

}  // namespace warp
