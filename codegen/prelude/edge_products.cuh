// Products between rows of edges in global memory and a matrix: see EdgeProduct in ir/kernel.hpp. Rows of the tile are at positions,
// rows of the layer at the edges that stand there; both come as fragments straight from memory, and results leave as pairs.
namespace warp {

__device__ __forceinline__ int edge_at(const int* __restrict__ edge, int position) { return edge ? edge[position] : position; }

// `count` neighbours, of which those before `end` exist; `width` is a number of neighbours of which all or none exist, and `aligned` one
// at which they begin.
template <int count, int width, int aligned>
__device__ __forceinline__ void add_numbers(float* at, const float (&v)[count], int end) {
#if __CUDA_ARCH__ >= 900
    if constexpr (aligned % 4 == 0 && width % 4 == 0 && count == 4) {
        if (end > 0)
            asm volatile("red.global.add.v4.f32 [%0], {%1, %2, %3, %4};" ::"l"(global_address(at)), "f"(v[0]), "f"(v[1]), "f"(v[2]), "f"(v[3]) : "memory");
        return;
    }
    if constexpr (aligned % 2 == 0 && width % 2 == 0 && count % 2 == 0) {
#pragma unroll
        for (int i = 0; i < count; i += 2)
            if (i < end) asm volatile("red.global.add.v2.f32 [%0], {%1, %2};" ::"l"(global_address(at + i)), "f"(v[i]), "f"(v[i + 1]) : "memory");
        return;
    }
#endif
#pragma unroll
    for (int i = 0; i < count; ++i)
        if (i < end) atomicAdd(at + i, v[i]);
}
template <int width, int aligned, bool add>
__device__ __forceinline__ void put_quad(float* at, float4 v, int end) {
    if constexpr (aligned % 4 == 0 && width % 4 == 0) {
        if (width % 16 != 0 && end <= 0) return;  // fragments have 16 columns
        float4* const all = reinterpret_cast<float4*>(at);
        if constexpr (add) v.x += all->x, v.y += all->y, v.z += all->z, v.w += all->w;
        // In one instruction, which the compiler does not always see.
        asm volatile("st.global.v4.f32 [%0], {%1, %2, %3, %4};" ::"l"(global_address(at)), "f"(v.x), "f"(v.y), "f"(v.z), "f"(v.w) : "memory");
        return;
    }
    const float numbers[4] = {v.x, v.y, v.z, v.w};
#pragma unroll
    for (int i = 0; i < 4; ++i)
        if (i < end) at[i] = add ? at[i] + numbers[i] : numbers[i];
}

// ---- to the tile --------------------------------------------------------------------------------------------------------------

// `together` fragments of results from c on, as quads: put(r, c, v).
template <class M, int together, int blocks, int steps, class Put>
__device__ __forceinline__ void multiply_and_put_quads(const TileRows<blocks, steps>& rows, u32 pieces, int c, int lane, Put put) {
    float sum[together][blocks][4] = {};
    multiply_fragments<M, false, true>(sum, rows, pieces, c);
#pragma unroll
    for (int block = 0; block < blocks; ++block)
#pragma unroll
        for (int row = 0; row < 2; ++row)
#pragma unroll
            for (int n = 0; n < together; n += 2) {
                const float back = rows.back[block][row];
                const float(&a)[4] = sum[n][block], (&b)[4] = sum[n + 1][block];
                put(16 * block + 8 * row + lane / 4, c + 8 * n + lane % 4 * 4,
                    float4{a[2 * row] * back, a[2 * row + 1] * back, b[2 * row] * back, b[2 * row + 1] * back});
            }
}

// `tile` is where the matrix's columns begin in row 0. 32 edges at a time; rows beyond the last repeat it and are not written. With 16, and
// the next ones loaded meanwhile, twice as many fragments of the matrix come from shared memory, which costs more than waiting.
template <class M, int tile_pitch, int rows_pitch, int aligned, bool add, bool bias, int first = 0>
__device__ __forceinline__ void edges_to_tile(float* tile, const float* __restrict__ rows, const int* __restrict__ edge, int begin, int end,
                                              const unsigned char* matrix, float factor, int lane) {
    constexpr int blocks = 2, steps = (M::depth - first < 64 ? M::depth - first : 64) / 16, together = 4, left = M::width / 8 % together,
                  whole = M::width - 8 * left;
    const u32 pieces = shared_address(matrix) + lane / 16 * M::low + (quad_place(lane % 8, 0) * M::pitch + first + lane / 8 % 2 * 8) * 2;
#pragma unroll 1
    for (int p = begin; p < end; p += 16 * blocks) {
        TileRows<blocks, steps> fragments;
#pragma unroll
        for (int block = 0; block < blocks; ++block) {
            const auto row = [&](int r) { return rows + static_cast<long long>(edge_at(edge, min(p + r, end - 1))) * rows_pitch; };
            RowNumbers<steps> numbers;
            numbers.template load<first, M::rows, (rows_pitch % 4 == 0 ? 4 : rows_pitch % 2 == 0 ? 2 : 1)>({row(16 * block + lane / 4), row(16 * block + lane / 4 + 8)}, lane);
            fragments.halve(block, numbers, exponent_of<M>(matrix), factor);
        }
        const auto put = [&](int r, int c, float4 v) {
            if (p + r >= end) return;
            if constexpr (bias && first == 0) {
                const float4 more = *reinterpret_cast<const float4*>(matrix + M::bias + 4 * c);
                v.x += more.x, v.y += more.y, v.z += more.z, v.w += more.w;
            }
            put_quad<M::columns, aligned, add || (first > 0)>(tile + static_cast<long long>(p + r) * tile_pitch + c, v, M::columns - c);
        };
#pragma unroll 1
        for (int c = 0; c < whole; c += 8 * together) multiply_and_put_quads<M, together>(fragments, pieces, c, lane, put);
        if constexpr (left > 0) multiply_and_put_quads<M, left>(fragments, pieces, whole, lane, put);
    }
    if constexpr (first + 64 < M::depth)
        edges_to_tile<M, tile_pitch, rows_pitch, aligned, add, bias, first + 64>(tile, rows, edge, begin, end, matrix, factor, lane);
}

// ---- to the layer's rows ------------------------------------------------------------------------------------------------------

// Sums of hidden channels for 32 edges, `count` fragments; the columns of the tile come in groups of 32.
template <int count>
struct RowSums {
    static constexpr int blocks = 2;
    float total[count][blocks][4];

    // Adds the products with the numbers of a group. Its matrix begins at `pieces`.
    template <class M, int result, int steps>
    __device__ __forceinline__ void add(const TileRows<blocks, steps>& rows, u32 pieces) {
        constexpr int together = count % 4 == 0 ? 4 : 2;
#pragma unroll
        for (int n = 0; n < count; n += together) {
            float sum[together][blocks][4] = {};
            multiply_fragments<M, true, false>(sum, rows, pieces, result + 8 * n);
#pragma unroll
            for (int k = 0; k < together; ++k)
#pragma unroll
                for (int block = 0; block < blocks; ++block)
#pragma unroll
                    for (int i = 0; i < 4; ++i)
                        total[n + k][block][i] = fmaf(sum[k][block][i], rows.back[block][i / 2], total[n + k][block][i]);
        }
    }
};

// 32 edges and at most 64 hidden channels at a time. The numbers of the next group are loaded while products are made.
template <class M, int tile_pitch, int rows_pitch, int aligned, int result = 0>
__device__ __forceinline__ void edges_to_rows(float* rows, const float* __restrict__ tile, const int* __restrict__ edge, int begin, int end,
                                              const unsigned char* matrix, float factor, int lane) {
    constexpr int count = (M::depth - result < 64 ? M::depth - result : 64) / 8, blocks = RowSums<count>::blocks, group = 32,
                  whole = M::columns / group * group, left = (M::width - whole) / 16;
    if (begin >= end) return;
    const int g = lane / 4;
    const int exponent = exponent_of<M>(matrix);
    const u32 pieces = shared_address(matrix) + lane / 16 * M::low + quad_place(lane % 8, lane / 8 % 2) * M::pitch * 2;
    const auto row = [&](int position) { return tile + static_cast<long long>(min(position, end - 1)) * tile_pitch; };
    RowNumbers<group / 16> numbers[blocks];
    const auto load = [&](int p, int c) {
#pragma unroll
        for (int block = 0; block < blocks; ++block)
            numbers[block].template load<0, group, aligned>({row(p + 16 * block + g) + c, row(p + 16 * block + g + 8) + c}, lane);
    };
    if constexpr (whole > 0) load(begin, 0);
#pragma unroll 1
    for (int p = begin; p < end; p += 16 * blocks) {
        RowSums<count> sums = {};
#pragma unroll 1
        for (int c = 0; c < whole; c += group) {
            TileRows<blocks, group / 16> fragments;
#pragma unroll
            for (int block = 0; block < blocks; ++block) fragments.halve(block, numbers[block], exponent, factor);
            const bool last = c + group == whole;
            load(last ? p + 16 * blocks : p, last ? 0 : c + group);
            sums.template add<M, result>(fragments, pieces + c * M::pitch * 2);
        }
        if constexpr (left > 0) {
            TileRows<blocks, left> fragments;
#pragma unroll
            for (int block = 0; block < blocks; ++block) {
                RowNumbers<left> rest;
                rest.template load<whole, M::columns, aligned>({row(p + 16 * block + g), row(p + 16 * block + g + 8)}, lane);
                fragments.halve(block, rest, exponent, factor);
            }
            sums.template add<M, result>(fragments, pieces + whole * M::pitch * 2);
        }
#pragma unroll
        for (int r = 0; r < 2 * blocks; ++r) {
            if (p + g + 8 * r >= end) continue;
            float* const at = rows + static_cast<long long>(edge_at(edge, p + g + 8 * r)) * rows_pitch;
#pragma unroll
            for (int n = 0; n < count; n += 2) {
                const int k = result + 8 * n + lane % 4 * 4;
                const float(&a)[4] = sums.total[n][r / 2], (&b)[4] = sums.total[n + 1][r / 2];
                const float four[4] = {a[r % 2 * 2], a[r % 2 * 2 + 1], b[r % 2 * 2], b[r % 2 * 2 + 1]};
                add_numbers<4, M::rows, rows_pitch>(at + k, four, M::rows - k);
            }
        }
    }
    if constexpr (result + 64 < M::depth)
        edges_to_rows<M, tile_pitch, rows_pitch, aligned, result + 64>(rows, tile, edge, begin, end, matrix, factor, lane);
}

// ---- to the matrix ------------------------------------------------------------------------------------------------------------

__device__ __forceinline__ float greatest_of_warp(float v) {
#pragma unroll
    for (int step = 16; step > 0; step /= 2) v = fmaxf(v, __shfl_xor_sync(everyone, v, step));
    return v;
}

// Of 16 edges a lane has 2 t, 2 t + 1 and the same 8 further on: its `count` neighbours of all columns from `first` on of `width`, one of
// every fragment. A row that does not exist is of zeros; `all`: they all do.
template <int count, int first, int width, int aligned, bool all = false>
__device__ __forceinline__ void load_columns(float (&v)[count][4], const float* const (&row)[4], int g) {
    constexpr bool whole = first + 8 * count <= width, quads = whole && aligned % 4 == 0 && count % 4 == 0, pairs = whole && aligned % 2 == 0 && count % 2 == 0;
#pragma unroll
    for (int k = 0; k < 4; ++k)
#pragma unroll
        for (int n = 0; n < count; n += quads ? 4 : pairs ? 2 : 1) {
            const int c = first + g * count + n;
            const bool exists = all || row[k];
            if constexpr (quads) {
                const float4 four = exists ? *reinterpret_cast<const float4*>(row[k] + c) : float4{0, 0, 0, 0};
                v[n][k] = four.x, v[n + 1][k] = four.y, v[n + 2][k] = four.z, v[n + 3][k] = four.w;
            } else if constexpr (pairs) {
                const float2 both = exists ? *reinterpret_cast<const float2*>(row[k] + c) : float2{0, 0};
                v[n][k] = both.x, v[n + 1][k] = both.y;
            } else {
                v[n][k] = exists && c < width ? row[k][c] : 0.0f;
            }
        }
}
// In the place of rows of the layer, for a sum of the tile's own: one row of ones.
template <int count>
__device__ __forceinline__ void ones(float (&v)[count][4], const bool (&exists)[4], int g) {
#pragma unroll
    for (int n = 0; n < count; ++n)
#pragma unroll
        for (int k = 0; k < 4; ++k) v[n][k] = n == 0 && g == 0 && exists[k] ? 1.0f : 0.0f;
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
template <int hidden, int columns, int pitch, int tile_pitch, int rows_pitch, int aligned, int first = 0>
__device__ __forceinline__ void edges_to_matrix(float* matrix, const float* __restrict__ tile, const float* __restrict__ rows,
                                                const int* __restrict__ edge, int begin, int end, float factor, int lane) {
    constexpr int left = hidden - first < 64 ? hidden - first : 64, rows_count = (left + 15) / 16, count = (columns + 7) / 8;
    const int g = lane / 4, t = lane % 4;
    const auto position = [&](int p, int k) { return p + 2 * t + k % 2 + k / 2 * 8; };
    float total[rows_count][count][4] = {}, a[2 * rows_count][4], b[count][4];
    int at[4];  // of the rows that are loaded next
    const auto look_up = [&](int p) {
#pragma unroll
        for (int k = 0; k < 4; ++k) at[k] = edge_at(edge, min(position(p, k), end - 1));
    };
    const auto load = [&](int p) {
        const float *tile_row[4], *layer_row[4];
        bool exists[4];
#pragma unroll
        for (int k = 0; k < 4; ++k) {
            exists[k] = position(p, k) < end;
            tile_row[k] = tile + static_cast<long long>(min(position(p, k), end - 1)) * tile_pitch;  // times zero
            if constexpr (rows_pitch > 0) layer_row[k] = exists[k] ? rows + static_cast<long long>(at[k]) * rows_pitch : nullptr;
        }
        load_columns<count, 0, columns, aligned, true>(b, tile_row, g);
        if constexpr (rows_pitch > 0) {
            load_columns<2 * rows_count, first, hidden, rows_pitch>(a, layer_row, g);
            look_up(p + 16);
        } else {
            ones(a, exists, g);
        }
    };
    if (begin >= end) return;
    if constexpr (rows_pitch > 0) look_up(begin);
    load(begin);
#pragma unroll 1
    for (int p = begin; p < end; p += 16) {
        u32 a_high[2 * rows_count][2], a_low[2 * rows_count][2], b_high[count][2], b_low[count][2];
        const int shift = halve_columns(a_high, a_low, a) + halve_columns(b_high, b_low, b);
        const float back = factor * power_of_two(-shift);
        if (p + 16 < end) load(p + 16);
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
        for (int i = 0; i < 4; ++i) {
            const int k = first + g * 2 * rows_count + 2 * m + i / 2, c = (2 * t + i % 2) * count;
            float row[count];
#pragma unroll
            for (int n = 0; n < count; ++n) row[n] = total[m][n][i];
            if (k < hidden) add_numbers<count, columns, (aligned % 2 == 0 && pitch % 2 == 0 ? 2 : 1)>(matrix + static_cast<long long>(k) * pitch + c, row, columns - c);
        }
    if constexpr (first + 64 < hidden)
        edges_to_matrix<hidden, columns, pitch, tile_pitch, rows_pitch, aligned, first + 64>(matrix, tile, rows, edge, begin, end, factor, lane);
}

}  // namespace warp
