// Receivers that several warps share, and windows over the edges.
namespace warp {

// Which of every receiver's edges a warp does: [begin, end) of them, all where the receiver is not split.
struct Part {
    int begin, end;
    bool split;  // what it stores is added

    __device__ __forceinline__ Part(int number, int parts, int edges)
        : begin(number * edges), end(number + 1 < parts ? begin + edges : 0x7fffffff), split(parts > 1) {}
    // Narrows the receiver's edges; false where several warps do them and none is left for this one.
    __device__ __forceinline__ bool narrow(int& first, int& last) const {
        const int length = last - first;
        last = first + (end < length ? end : length);
        first += begin < length ? begin : length;
        return !split || first < last;
    }
};
// The same of those edges that the launch does, which are a window over all.
struct PartOfWindow : Part {
    int window_begin, window_end;

    __device__ __forceinline__ PartOfWindow(int number, int parts, int edges, int first, int last)
        : Part(number, parts, edges), window_begin(first), window_end(last) {
        split = true;
    }
    __device__ __forceinline__ bool narrow(int& first, int& last) const {
        first = max(first, window_begin);
        last = max(first, min(last, window_end));
        return Part::narrow(first, last);
    }
};

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
// What a warp does of the receivers of a window: some of them, or one of `parts` parts of one.
struct Share {
    int begin, end, part = 0, parts = 1;

    __device__ __forceinline__ Share(const int* row_ptr, int receivers, int edge_begin, int edge_end, int most_parts, int warp, int warps, int lane) {
        const int first = receiver_of(row_ptr, receivers, edge_begin, lane), count = receiver_of(row_ptr, receivers, edge_end - 1, lane) + 1 - first;
        parts = max(1, min(most_parts, warps / count));
        const int rows = parts > 1 ? 1 : (count + warps - 1) / warps;
        part = warp % parts;
        begin = min(first + count, first + warp / parts * rows);
        end = min(first + count, begin + rows);
    }
};

}  // namespace warp
