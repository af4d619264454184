// How the warps of a launch share its work, and windows over the edges.
namespace warp {

// The end of a window, which may reach beyond the edges that there are.
__device__ __forceinline__ int last_edge(const int* row_ptr, int receivers, int window_end) { return uniform(min(window_end, row_ptr[receivers])); }
// The receiver that an edge belongs to: the number of receivers that end at or before it. All lanes take part.
__device__ __forceinline__ int receiver_of(const int* row_ptr, int receivers, int edge, int lane) {
    int low = 0, high = receivers;
    while (low < high) {
        const int step = (high - low + 31) / 32, probe = low + lane * step;
        const int before = __popc(__ballot_sync(everyone, probe < high && row_ptr[probe + 1] <= edge));
        high = min(high, low + before * step);
        if (before > 0) low += (before - 1) * step + 1;
    }
    return uniform(low);
}
// What a block does of a kernel's list of tasks and chunks, and which warp this is of those that do the same.
struct Turn {
    int place;
    unsigned warp, warps;

    // Without efforts every place has a row of blocks. `efforts` are those of all places before; blocks are dealt out in proportion,
    // and at least one to each place.
    __device__ __forceinline__ Turn(const int* efforts, int places, bool even, int warps_a_block, int warp_in_block, int lane) {
        int first = 0, count = gridDim.x;
        place = blockIdx.y;
        if (even) {
            const u64 dealt = gridDim.x - places, total = efforts[places];
            const auto first_of = [&](int number) { return number + static_cast<int>(dealt * efforts[number] / total); };
            place = -1;
            for (int k = 0; k < places; k += 32)
                place += __popc(__ballot_sync(everyone, k + lane < places && first_of(k + lane) <= static_cast<int>(blockIdx.x)));
            place = uniform(place);
            first = first_of(place);
            count = first_of(place + 1) - first;
        }
        warp = (blockIdx.x - first) * warps_a_block + warp_in_block;
        warps = count * warps_a_block;
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
    // As many edges of [first, last) as every other warp of the turn.
    __device__ __forceinline__ Part(const int* row_ptr, int receivers, int first, int last, const Turn& turn, int lane) : row_begin(0), row_end(0), split(true) {
        const long long count = last > first ? last - first : 0;
        begin = first + static_cast<int>(count * turn.warp / turn.warps);
        end = first + static_cast<int>(count * (turn.warp + 1) / turn.warps);
        if (begin == end) return;
        row_begin = receiver_of(row_ptr, receivers, begin, lane);
        row_end = receiver_of(row_ptr, receivers, end - 1, lane) + 1;
    }
    // Narrows the edges of the rows; false where several warps do them and none is left for this one.
    __device__ __forceinline__ bool narrow(int& first, int& last) const {
        first = max(first, begin);
        last = max(first, min(last, end));
        return !split || first < last;
    }
};

}  // namespace warp
