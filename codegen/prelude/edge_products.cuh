// Products between rows of edges in global memory and a matrix: see EdgeProduct in ir/kernel.hpp. Rows of the tile are at positions,
// rows of the layer at the edges that stand there; both come as fragments straight from memory, and results leave as pairs.
namespace warp {

__device__ __forceinline__ int edge_at(const int* __restrict__ edge, int position) { return edge ? edge[position] : position; }

template <bool pairs>
__device__ __forceinline__ void add_pair(float* at, float2 v, bool second) {
#if __CUDA_ARCH__ >= 900
    if constexpr (pairs) {
        if (second) {
            asm volatile("red.global.add.v2.f32 [%0], {%1, %2};" ::"l"(global_address(at)), "f"(v.x), "f"(v.y) : "memory");
            return;
        }
    }
#endif
    atomicAdd(at, v.x);
    if (second) atomicAdd(at + 1, v.y);
}
template <bool pairs, bool add>
__device__ __forceinline__ void put_pair(float* at, float2 v, bool second) {
    if (pairs && second) {
        float2* const both = reinterpret_cast<float2*>(at);
        if constexpr (add) v.x += both->x, v.y += both->y;
        *both = v;
        return;
    }
    at[0] = add ? at[0] + v.x : v.x;
    if (second) at[1] = add ? at[1] + v.y : v.y;
}

// ---- to the tile --------------------------------------------------------------------------------------------------------------

// `tile` is where the matrix's columns begin in row 0. 32 edges at a time; rows beyond the last repeat it and are not written.
template <class M, int tile_pitch, int rows_pitch, bool pairs, bool add, bool bias, int first = 0>
__device__ __forceinline__ void edges_to_tile(float* tile, const float* __restrict__ rows, const int* __restrict__ edge, int begin, int end,
                                              const unsigned char* matrix, float factor, int lane) {
    constexpr int steps = (M::depth - first < 64 ? M::depth - first : 64) / 16;
#pragma unroll 1
    for (int p = begin; p < end; p += 32) {
        TileRows<2, steps> fragments;
        fragments.template load<first, M::rows, rows_pitch % 2 == 0>(
            [&](int r) { return rows + static_cast<long long>(edge_at(edge, min(p + r, end - 1))) * rows_pitch; }, exponent_of<M>(matrix),
            factor, lane);
        multiply_all<M, 4, first, false>(fragments, matrix, lane, [&](int r, int below, int c, float2 v) {
            const int position = p + r + below;
            if (position >= end || c >= M::columns) return;
            if constexpr (bias && first == 0) {
                const float2 more = bias_of<M>(matrix, c);
                v.x += more.x, v.y += more.y;
            }
            put_pair<pairs, add || (first > 0)>(tile + static_cast<long long>(position) * tile_pitch + c, v, c + 1 < M::columns);
        });
    }
    if constexpr (first + 64 < M::depth)
        edges_to_tile<M, tile_pitch, rows_pitch, pairs, add, bias, first + 64>(tile, rows, edge, begin, end, matrix, factor, lane);
}

// ---- to the layer's rows ------------------------------------------------------------------------------------------------------

// Adds the products with 64 columns from `first` on, and all after them, to `count` fragments of results.
template <class M, int result, int count, bool pairs, int first, class RowOf>
__device__ __forceinline__ void add_columns(float (&total)[count][4], RowOf row_of, const unsigned char* matrix, float factor, int lane) {
    constexpr int steps = (M::width - first < 64 ? M::width - first : 64) / 16;
    TileRows<1, steps> fragments;
    fragments.template load<first, M::columns, pairs>(row_of, exponent_of<M>(matrix), factor, lane);
    const u32 pieces = shared_address(matrix) + lane / 16 * M::low + (lane % 8 + first + lane / 8 % 2 * 8) * M::pitch * 2;
    float sum[count][1][4] = {};
    multiply_fragments<M, true>(sum, fragments, pieces, result);
#pragma unroll
    for (int n = 0; n < count; ++n)
#pragma unroll
        for (int i = 0; i < 4; ++i) total[n][i] = fmaf(sum[n][0][i], fragments.back[0][i / 2], total[n][i]);
    if constexpr (first + 64 < M::width) add_columns<M, result, count, pairs, first + 64>(total, row_of, matrix, factor, lane);
}

// 16 edges and at most 64 hidden channels at a time.
template <class M, int tile_pitch, int rows_pitch, bool pairs, int result = 0>
__device__ __forceinline__ void edges_to_rows(float* rows, const float* __restrict__ tile, const int* __restrict__ edge, int begin, int end,
                                              const unsigned char* matrix, float factor, int lane) {
    constexpr int count = (M::depth - result < 64 ? M::depth - result : 64) / 8;
#pragma unroll 1
    for (int p = begin; p < end; p += 16) {
        float total[count][4] = {};
        add_columns<M, result, count, pairs, 0>(
            total, [&](int r) { return tile + static_cast<long long>(min(p + r, end - 1)) * tile_pitch; }, matrix, factor, lane);
#pragma unroll
        for (int row = 0; row < 2; ++row) {
            const int position = p + lane / 4 + 8 * row;
            if (position >= end) continue;
            float* const to = rows + static_cast<long long>(edge_at(edge, position)) * rows_pitch;
#pragma unroll
            for (int n = 0; n < count; ++n) {
                const int k = result + 8 * n + lane % 4 * 2;
                if (k < M::rows) add_pair<rows_pitch % 2 == 0>(to + k, {total[n][2 * row], total[n][2 * row + 1]}, k + 1 < M::rows);
            }
        }
    }
    if constexpr (result + 64 < M::depth)
        edges_to_rows<M, tile_pitch, rows_pitch, pairs, result + 64>(rows, tile, edge, begin, end, matrix, factor, lane);
}

// ---- to the matrix ------------------------------------------------------------------------------------------------------------

__device__ __forceinline__ float greatest_of_warp(float v) {
#pragma unroll
    for (int step = 16; step > 0; step /= 2) v = fmaxf(v, __shfl_xor_sync(everyone, v, step));
    return v;
}

// Of 16 edges a lane has 2 t, 2 t + 1 and the same 8 further on: their columns 8 n + g for n < count, from `first` on of `width`.
template <int count, int first, int width>
__device__ __forceinline__ void load_columns(float (&v)[count][4], const float* const (&row)[4], int g) {
#pragma unroll
    for (int n = 0; n < count; ++n)
#pragma unroll
        for (int k = 0; k < 4; ++k) {
            const int c = first + 8 * n + g;
            v[n][k] = row[k] && c < width ? row[k][c] : 0.0f;
        }
}
// In the place of rows of the layer, for a sum of the tile's own: one row of ones.
template <int count>
__device__ __forceinline__ void ones(float (&v)[count][4], int g) {
#pragma unroll
    for (int n = 0; n < count; ++n)
#pragma unroll
        for (int k = 0; k < 4; ++k) v[n][k] = n == 0 && g == 0 ? 1.0f : 0.0f;
}
// The halves of all, with one scale; its exponent.
template <int count>
__device__ __forceinline__ int halve_columns(u32 (&high)[count][2], u32 (&low)[count][2], const float (&v)[count][4]) {
    float greatest = 0;
#pragma unroll
    for (int n = 0; n < count; ++n)
#pragma unroll
        for (int k = 0; k < 4; ++k) greatest = fmaxf(greatest, fabsf(v[n][k]));
    const int shift = shift_of(greatest_of_warp(greatest));
    const float scale = normal_power(shift);
#pragma unroll
    for (int n = 0; n < count; ++n)
#pragma unroll
        for (int k = 0; k < 2; ++k) {
            const Halves both = halves(v[n][2 * k] * scale, v[n][2 * k + 1] * scale);
            high[n][k] = both.high;
            low[n][k] = both.low;
        }
    return shift;
}

// Sums of 16 edges are scaled and added to the warp's own in float32, which add up to the matrix at the end. A fragment of 16 hidden
// channels is two of 8, so that both factors are loaded alike.
template <int hidden, int columns, int pitch, int tile_pitch, int rows_pitch, bool pairs, int first = 0>
__device__ __forceinline__ void edges_to_matrix(float* matrix, const float* __restrict__ tile, const float* __restrict__ rows,
                                                const int* __restrict__ edge, int begin, int end, float factor, int lane) {
    constexpr int left = hidden - first < 64 ? hidden - first : 64, rows_count = (left + 15) / 16, count = (columns + 7) / 8;
    const int g = lane / 4, t = lane % 4;
    float total[rows_count][count][4] = {};
#pragma unroll 1
    for (int p = begin; p < end; p += 16) {
        const float *tile_row[4], *layer_row[4];
#pragma unroll
        for (int k = 0; k < 4; ++k) {
            const int position = p + 2 * t + k % 2 + k / 2 * 8;
            const bool exists = position < end;
            tile_row[k] = exists ? tile + static_cast<long long>(position) * tile_pitch : nullptr;
            if constexpr (rows_pitch > 0) layer_row[k] = exists ? rows + static_cast<long long>(edge_at(edge, position)) * rows_pitch : nullptr;
        }
        float a[2 * rows_count][4], b[count][4];
        if constexpr (rows_pitch > 0)
            load_columns<2 * rows_count, first, hidden>(a, layer_row, g);
        else
            ones(a, g);
        load_columns<count, 0, columns>(b, tile_row, g);
        u32 a_high[2 * rows_count][2], a_low[2 * rows_count][2], b_high[count][2], b_low[count][2];
        const int shift = halve_columns(a_high, a_low, a) + halve_columns(b_high, b_low, b);
        const float back = factor * power_of_two(-shift);
#pragma unroll
        for (int n = 0; n < count; ++n) {
            float sum[rows_count][4] = {};
#pragma unroll
            for (int product = 0; product < 3; ++product)
#pragma unroll
                for (int m = 0; m < rows_count; ++m) {
                    const auto& half = product == 0 ? a_low : a_high;
                    const u32 fragment[4] = {half[2 * m][0], half[2 * m + 1][0], half[2 * m][1], half[2 * m + 1][1]};
                    const auto& other = product == 1 ? b_low : b_high;
                    multiply_add(sum[m], fragment, other[n][0], other[n][1]);
                }
#pragma unroll
            for (int m = 0; m < rows_count; ++m)
#pragma unroll
                for (int i = 0; i < 4; ++i) total[m][n][i] = fmaf(sum[m][i], back, total[m][n][i]);
        }
    }
#pragma unroll
    for (int m = 0; m < rows_count; ++m)
#pragma unroll
        for (int n = 0; n < count; ++n)
#pragma unroll
            for (int row = 0; row < 2; ++row) {
                const int k = first + 16 * m + 8 * row + g, c = 8 * n + 2 * t;
                if (k < hidden && c < columns)
                    add_pair<pairs && pitch % 2 == 0>(matrix + static_cast<long long>(k) * pitch + c, {total[m][n][2 * row], total[m][n][2 * row + 1]},
                                                      c + 1 < columns);
            }
    if constexpr (first + 64 < hidden)
        edges_to_matrix<hidden, columns, pitch, tile_pitch, rows_pitch, pairs, first + 64>(matrix, tile, rows, edge, begin, end, factor, lane);
}

}  // namespace warp
