// Products over the edges of a tile by tensor cores, with the accuracy of float32: a number is the sum of two halves after a power
// of two has brought the greatest of its row (or of the matrix) to about 2^14, and of the four products of halves the least is left out.
namespace warp {

// The two halves of two numbers each; the first number is in the lower bits.
struct Halves {
    u32 high, low;
};
__device__ __forceinline__ u32 pack(float a, float b) {
    u32 r;
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(b), "f"(a));
    return r;
}
__device__ __forceinline__ float2 unpack(u32 v) {
    float2 r;
    asm("{\n"
        ".reg .f16 a, b;\n"
        "mov.b32 {a, b}, %2;\n"
        "cvt.f32.f16 %0, a;\n"
        "cvt.f32.f16 %1, b;\n"
        "}"
        : "=f"(r.x), "=f"(r.y)
        : "r"(v));
    return r;
}
__device__ __forceinline__ Halves halves(float a, float b) {
    const u32 high = pack(a, b);
    const float2 rounded = unpack(high);
    return {high, pack(a - rounded.x, b - rounded.y)};
}

// The exponent of the power of two that scales numbers of which this is the greatest.
__device__ __forceinline__ int shift_of(float greatest) {
    const int shift = 14 + 127 - static_cast<int>(__float_as_uint(greatest) >> 23);
    return shift > 100 ? 100 : shift;
}
__device__ __forceinline__ float normal_power(int exponent) { return __int_as_float((exponent + 127) << 23); }
// Any exponent; numbers below the least are zero.
__device__ __forceinline__ float power_of_two(int exponent) {
    const int normal = max(-126, min(127, exponent));
    return normal_power(normal) * normal_power(max(-126, min(0, exponent - normal)));
}

// A matrix of the block as ir/kernel.hpp lays it out, in bytes: a row of halves for every column, `pitch` halves apart. Of 16 neighbours in
// a row a lane of a fragment has two in a first piece of eight and two in a second: those are four neighbours of memory, one access.
template <int rows_, int columns_, int depth_, int width_, int pitch_, int low_, int exponent_, int bias_>
struct Matrix {
    static constexpr int rows = rows_, columns = columns_, depth = depth_, width = width_, pitch = pitch_, low = low_, exponent = exponent_,
                         bias = bias_;
};

// ---- before tasks begin -------------------------------------------------------------------------------------------------------

// Where column c is, of columns that come in runs; no array, which would be in memory.
template <int run, int... first>
__device__ __forceinline__ int column_in_runs(int c) {
    int number = 0, at = 0;
    ((at = c / run == number++ ? first : at), ...);
    return at + c % run;
}

// The bits of a number where its halves will be, while the scale is not known.
__device__ __forceinline__ void put_bits(u32& high, u32& low, float a, float b) {
    high = __byte_perm(__float_as_uint(a), __float_as_uint(b), 0x7632);
    low = __byte_perm(__float_as_uint(a), __float_as_uint(b), 0x5410);
}
__device__ __forceinline__ float2 bits(u32 high, u32 low) {
    return {__uint_as_float(__byte_perm(low, high, 0x5410)), __uint_as_float(__byte_perm(low, high, 0x7632))};
}

// All threads of the block. Columns come in runs of which the first ones are given; threads have neighbouring columns, and parts of 16
// of their rows. Memory is read once: a kernel with few edges spends much of its time here.
template <class M, int from_pitch, int run, int... first>
__device__ __forceinline__ void load_matrix(unsigned char* matrix, const float* __restrict__ from, const float* __restrict__ bias) {
    constexpr int part = 16, items = M::width * (M::depth / part);
    int* const exponent = reinterpret_cast<int*>(matrix + M::exponent);
    if (threadIdx.x == 0) *exponent = 0;
    __syncthreads();
    float greatest = 0;
#pragma unroll 2
    for (int i = threadIdx.x; i < items; i += blockDim.x) {
        const int c = i % M::width, at = i / M::width * part, column = column_in_runs<run, first...>(c), place = (c * M::pitch + at) * 2;
        float v[part];
#pragma unroll
        for (int k = 0; k < part; ++k) v[k] = c < M::columns && at + k < M::rows ? from[(at + k) * from_pitch + column] : 0.0f;
#pragma unroll
        for (int k = 0; k < part; k += 2) {
            greatest = fmaxf(greatest, fmaxf(fabsf(v[k]), fabsf(v[k + 1])));
            const int pair = k % 4 / 2 * 4 + k / 4;
            put_bits(reinterpret_cast<u32*>(matrix + place)[pair], reinterpret_cast<u32*>(matrix + M::low + place)[pair], v[k], v[k + 1]);
        }
        if constexpr (M::bias > 0)
            if (at == 0) reinterpret_cast<float*>(matrix + M::bias)[c] = c < M::columns ? bias[column] : 0.0f;
    }
    // The order of numbers that are not negative is that of their bits.
    atomicMax(exponent, __float_as_int(greatest));
    __syncthreads();
    const int shift = shift_of(__int_as_float(*exponent));
    const float scale = normal_power(shift);
    __syncthreads();
    if (threadIdx.x == 0) *exponent = -shift;
    for (int i = threadIdx.x; i < items; i += blockDim.x) {
        const int place = (i % M::width * M::pitch + i / M::width * part) * 2;
        u32* const high = reinterpret_cast<u32*>(matrix + place);
        u32* const low = reinterpret_cast<u32*>(matrix + M::low + place);
#pragma unroll
        for (int k = 0; k < part / 2; ++k) {
            const float2 pair = bits(high[k], low[k]);
            const Halves both = halves(pair.x * scale, pair.y * scale);
            high[k] = both.high;
            low[k] = both.low;
        }
    }
}

// ---- fragments (PTX ISA, mma.m16n8k16) ----------------------------------------------------------------------------------------
// A lane is lane / 4 = g, lane % 4 = t. Of 16 edges it has rows g and g + 8, of 16 summands 2 t, 2 t + 1 and the same 8 further on, and
// of 8 results 2 t, 2 t + 1.

// 16 edges by 16 summands, in two halves.
struct Edges {
    u32 high[4], low[4];
};
// 16 summands by 8 results: the first and second eight summands of the high halves, then of the low ones.
struct Columns {
    u32 v[4];
};

__device__ __forceinline__ void multiply_add(float (&sum)[4], const u32 (&a)[4], u32 b0, u32 b1) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
// Lanes 8 i .. 8 i + 7 have the addresses of the rows of piece i. The matrix does not change, so nothing orders this.
template <bool transposed>
__device__ __forceinline__ void load_pieces(Columns& to, u32 address) {
    if constexpr (transposed)
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                     : "=r"(to.v[0]), "=r"(to.v[1]), "=r"(to.v[2]), "=r"(to.v[3])
                     : "r"(address));
    else
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                     : "=r"(to.v[0]), "=r"(to.v[1]), "=r"(to.v[2]), "=r"(to.v[3])
                     : "r"(address));
}
__device__ __forceinline__ float2 pair_at(const float* row, int n, int count) {
    return {n < count ? row[n] : 0.0f, n + 1 < count ? row[n + 1] : 0.0f};
}
__device__ __forceinline__ float greatest_of_quad(float v) {
    v = fmaxf(v, __shfl_xor_sync(everyone, v, 1));
    return fmaxf(v, __shfl_xor_sync(everyone, v, 2));
}

// What a lane has of 16 rows before they are halved, `steps` times 16 summands: loaded ahead, so that nothing waits for memory.
template <int steps>
struct RowNumbers {
    float2 v[steps][4];

    // Summands from `first` on of `count`; `row` is where rows g and g + 8 begin, at `aligned` numbers.
    template <int first, int count, int aligned>
    __device__ __forceinline__ void load(const float* const (&row)[2], int lane) {
        constexpr bool all = first + 16 * steps <= count;
        const float* const own[2] = {row[0] + 4 * (lane % 4), row[1] + 4 * (lane % 4)};
#pragma unroll
        for (int step = 0; step < steps; ++step)
#pragma unroll
            for (int part = 0; part < 4; ++part) {
                const int n = first + 16 * step + part / 2 * 2;
                if (all && aligned >= 4) {
                    const float4 four = *reinterpret_cast<const float4*>(own[part % 2] + n - part / 2 * 2);
                    v[step][part] = part / 2 ? float2{four.z, four.w} : float2{four.x, four.y};
                } else {
                    v[step][part] = all && aligned >= 2 ? *reinterpret_cast<const float2*>(own[part % 2] + n) : pair_at(own[part % 2], n, count - 4 * (lane % 4));
                }
            }
    }
};

// Rows of a tile as fragments, `steps` times 16 summands; and what undoes the scale of each row.
template <int blocks, int steps>
struct TileRows {
    Edges edges[blocks][steps];
    float back[blocks][2];

    __device__ __forceinline__ void halve(int block, const RowNumbers<steps>& numbers, int exponent, float factor) {
        float greatest[2] = {0, 0}, scale[2];
#pragma unroll
        for (int step = 0; step < steps; ++step)
#pragma unroll
            for (int part = 0; part < 4; ++part) {
                const float2 pair = numbers.v[step][part];
                greatest[part % 2] = fmaxf(greatest[part % 2], fmaxf(fabsf(pair.x), fabsf(pair.y)));
            }
#pragma unroll
        for (int row = 0; row < 2; ++row) {
            const int shift = shift_of(greatest_of_quad(greatest[row]));
            scale[row] = normal_power(shift);
            back[block][row] = factor * power_of_two(exponent - shift);
        }
#pragma unroll
        for (int step = 0; step < steps; ++step)
#pragma unroll
            for (int part = 0; part < 4; ++part) {
                const float2 pair = numbers.v[step][part];
                const Halves both = halves(pair.x * scale[part % 2], pair.y * scale[part % 2]);
                edges[block][step].high[part] = both.high;
                edges[block][step].low[part] = both.low;
            }
    }
};

// ---- to[r, c] = factor * sum over k of from[r, k] * M[k, c] ------------------------------------------------------------------

// Where number i of a piece is among 16 neighbours of memory of which a lane has four.
__device__ __forceinline__ constexpr int quad_place(int i, int piece) { return i / 2 * 4 + i % 2 + 2 * piece; }

// `together` fragments of eight results from c on: sums that do not wait for each other. `pieces` is where the lane's pieces of the first
// fragment are. In `quads` two fragments are 16 neighbours.
template <class M, bool transposed, bool quads, int together, int blocks, int steps>
__device__ __forceinline__ void multiply_fragments(float (&sum)[together][blocks][4], const TileRows<blocks, steps>& rows, u32 pieces, int c) {
    constexpr int result = transposed ? 1 : M::pitch, summand = transposed ? M::pitch : 1;
#pragma unroll
    for (int step = 0; step < steps; ++step) {
        Columns columns[together];
#pragma unroll
        for (int n = 0; n < together; ++n)
            load_pieces<transposed>(columns[n], pieces + ((c + (quads ? n / 2 * 16 + n % 2 * 2 : 8 * n)) * result + 16 * step * summand) * 2);
#pragma unroll
        for (int product = 0; product < 3; ++product)
#pragma unroll
            for (int n = 0; n < together; ++n)
#pragma unroll
                for (int block = 0; block < blocks; ++block) {
                    const Edges& edges = rows.edges[block][step];
                    const int half = product == 1 ? 2 : 0;
                    multiply_add(sum[n][block], product == 0 ? edges.low : edges.high, columns[n].v[half], columns[n].v[half + 1]);
                }
    }
}

// put(r, c, n, v) for every pair of results that the lane has: row r and columns c + n on, beyond the lane's first ones. Of these numbers
// only c is not known to the compiler.
template <class M, int together, int blocks, int steps, class Put>
__device__ __forceinline__ void multiply_and_put(const TileRows<blocks, steps>& rows, u32 pieces, int c, Put put) {
    float sum[together][blocks][4] = {};
    multiply_fragments<M, false, false>(sum, rows, pieces, c);
#pragma unroll
    for (int block = 0; block < blocks; ++block)
#pragma unroll
        for (int n = 0; n < together; ++n)
#pragma unroll
            for (int row = 0; row < 2; ++row) {
                const float back = rows.back[block][row];
                put(16 * block + 8 * row, c, 8 * n, float2{sum[n][block][2 * row] * back, sum[n][block][2 * row + 1] * back});
            }
}

// The same for all results, `together` fragments at a time. Eight lanes have the rows of a piece, rows are columns of the matrix; the
// second piece has summands 8 further on.
template <class M, int together, int first, int blocks, int steps, class Put>
__device__ __forceinline__ void multiply_all(const TileRows<blocks, steps>& rows, const unsigned char* matrix, int lane, Put put) {
    constexpr int left = M::width / 8 % together, whole = M::width - 8 * left;
    const u32 pieces = shared_address(matrix) + lane / 16 * M::low + (lane % 8 * M::pitch + first + lane / 8 % 2 * 8) * 2;
#pragma unroll 1
    for (int c = 0; c < whole; c += 8 * together) multiply_and_put<M, together>(rows, pieces, c, put);
    if constexpr (left > 0) multiply_and_put<M, left>(rows, pieces, whole, put);
}

template <class M>
__device__ __forceinline__ int exponent_of(const unsigned char* matrix) {
    return *reinterpret_cast<const int*>(matrix + M::exponent);
}
template <class M>
__device__ __forceinline__ float2 bias_of(const unsigned char* matrix, int c) {
    return *reinterpret_cast<const float2*>(matrix + M::bias + 4 * c);
}

// Summands from `first` on, at most 64 at a time: more fragments of edges would not fit the registers.
template <class M, int tile, int to_pitch, int from_pitch, bool bias, int first = 0>
__device__ __forceinline__ void multiply_from(float* to, const float* from, const unsigned char* matrix, float factor, int lane) {
    constexpr int blocks = tile / 16, steps = (M::depth - first < 64 ? M::depth - first : 64) / 16;
    constexpr bool add = first > 0, with_bias = bias && first == 0;
    TileRows<blocks, steps> rows;
#pragma unroll
    for (int block = 0; block < blocks; ++block) {
        const float* const row = from + (16 * block + lane / 4) * from_pitch;
        RowNumbers<steps> numbers;
        numbers.template load<first, M::rows, from_pitch % 4 == 0 ? 4 : 2>({row, row + 8 * from_pitch}, lane);
        rows.halve(block, numbers, exponent_of<M>(matrix), factor);
    }
    __syncwarp();  // `to` may lie over `from`
    float* const own = to + lane / 4 * to_pitch + lane % 4 * 2;
    multiply_all<M, 4, first>(rows, matrix, lane, [&](int r, int c, int n, float2 v) {
        float2* const at = reinterpret_cast<float2*>(own + c + (r * to_pitch + n));
        float2 more = {0, 0};
        if constexpr (add) more = *at;
        if constexpr (with_bias) more = bias_of<M>(matrix, c + n + lane % 4 * 2);
        if constexpr (add || with_bias) v.x += more.x, v.y += more.y;
        *at = v;
    });
    if constexpr (first + 64 < M::depth) {
        __syncwarp();
        multiply_from<M, tile, to_pitch, from_pitch, bias, first + 64>(to, from, matrix, factor, lane);
    }
}

template <class M, int tile, int to_pitch, int from_pitch, bool bias>
__device__ __forceinline__ void multiply(float* to, const float* from, const unsigned char* matrix, float factor, int lane) {
    __syncwarp();
    multiply_from<M, tile, to_pitch, from_pitch, bias>(to, from, matrix, factor, lane);
    __syncwarp();
}

}  // namespace warp
