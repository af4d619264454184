// A sample that holds every construct
// sm_90a

static __device__ const int reversed[32] = {
    31, 30, 29, 28, 27, 26, 25, 24, 23, 22, 21, 20, 19, 18, 17, 16, 15, 14, 13, 12, 11, 10, 9, 8,
    7, 6, 5, 4, 3, 2, 1, 0,
};

// Task all
//   every path
static __device__ __forceinline__ void task_all(const float* __restrict__ x, const float* __restrict__ y, const float* __restrict__ w, const int* __restrict__ sender, const int* __restrict__ row_ptr, float* out, float* total, float* count, float* grad_w, float* grad_y, float* grad_x, float* permuted, float* last, int chunk, int row_begin, int row_end, warp::Part part, int lane, float* region, warp::barrier* barriers) {
    float* const ring = region + 0;
    float* const staging = region + 216;
    int first_edge = warp::uniform(row_ptr[row_begin]);
    int end_edge = warp::uniform(row_ptr[row_end]);
    if (!part.narrow(first_edge, end_edge)) return warp::zeros_ready();
    warp::init_barriers<3, 33>(barriers, lane);
    warp::Window window_0(sender, first_edge, end_edge, lane);
    int stage = 0;
    int phase = 0;
    int fill_stage = 0;
    int half = 0;
    int fill_edge = first_edge;
    int ahead = end_edge < first_edge + 3 ? end_edge : first_edge + 3;
    for (int prologue = first_edge; prologue < ahead; ++prologue) {
        int source = window_0.at(fill_edge);
        if (window_0.ends<1>(fill_edge)) {
            window_0.advance<1>(fill_edge, lane);
        }
        if (warp::elected()) {
            warp::expect(barriers + fill_stage, 144);
            warp::copy_bulk(ring + fill_stage * 72, w + (long long)fill_edge * 32, 128, barriers + fill_stage);
            warp::copy_bulk(ring + fill_stage * 72 + 32, y + (long long)fill_edge * 4, 16, barriers + fill_stage);
        }
        warp::copy_elements<33, 1, 32>(ring + fill_stage * 72 + 36, x + (long long)source * 33, lane);
        warp::arrive_when_copied(barriers + fill_stage);
        if (++fill_stage == 3) { fill_stage = 0; }
        fill_edge = fill_edge + 1;
    }
    warp::zeros_ready();
    for (int receiver = row_begin; receiver < row_end; ++receiver) {
        float acc = 0.0f;
        float edges = 0.0f;
        float sum_t = 0.0f;
        int stop = warp::uniform(row_ptr[receiver + 1]);
        for (int e = first_edge; e < stop; ++e) {
            warp::wait(barriers + stage, phase);
            // one edge
            const float* const at = ring + stage * 72;
            float y_0 = at[32];
            float y_1 = at[33];
            float y_2 = at[34];
            float w_2 = *(ring + lane + stage * 72);
            float x_2 = *(ring + lane + stage * 72 + 36);
            __syncwarp();
            if (fill_edge < end_edge) {
                int source = window_0.at(fill_edge);
                if (window_0.ends<1>(fill_edge)) {
                    window_0.advance<1>(fill_edge, lane);
                }
                if (warp::elected()) {
                    warp::expect(barriers + fill_stage, 144);
                    warp::copy_bulk(ring + fill_stage * 72, w + (long long)fill_edge * 32, 128, barriers + fill_stage);
                    warp::copy_bulk(ring + fill_stage * 72 + 32, y + (long long)fill_edge * 4, 16, barriers + fill_stage);
                }
                warp::copy_elements<33, 1, 32>(ring + fill_stage * 72 + 36, x + (long long)source * 33, lane);
                warp::arrive_when_copied(barriers + fill_stage);
                if (++fill_stage == 3) { fill_stage = 0; }
                fill_edge = fill_edge + 1;
            }
            float t = w_2 * x_2;
            float y0_plus = __fmaf_rn(y_0, 1.0f, 1.0f);
            acc = __fmaf_rn(t, y0_plus, acc);
            edges = __fmaf_rn(1.0f, 1.0f, edges);
            float gw = x_2 * y_1;
            warp::store_once(grad_w + lane + (long long)e * 32, gw);
            float once = warp::load_once(w + lane + (long long)e * 32);
            {
                float sums[] = {t, t, once};
                warp::reduce(sums, lane, [&](int k, float sum) { warp::atomic_add(grad_y + (long long)e * 4 + k, sum); });
            }
            float sums_2[] = {t, t};
            warp::lane_sums(sums_2, lane);
            float sum_a = sums_2[0];
            float sum_b = sums_2[1];
            sum_t = __fmaf_rn(sum_a, 1.0f, sum_t);
            sum_t = __fmaf_rn(sum_b, 1.0f, sum_t);
            float gx = w_2 * y_2;
            *(staging + lane + half * 32) = gx;
            int s = warp::uniform(sender ? sender[e] : e);
            warp::add_bulk<32, 1>(grad_x + (long long)s * 32, staging + half * 32);
            __syncwarp();
            half = half * -1 + 1;
            if (lane < 17) if (part.split) warp::atomic_add(last + lane + (long long)receiver * 32, t); else *(last + lane + (long long)receiver * 32) = t;
            if (++stage == 3) { stage = 0; phase ^= 1; }
        }
        first_edge = stop;
        if (lane == 0) if (part.split) warp::atomic_add(count + receiver, edges); else *(count + receiver) = edges;
        if (lane == 0) if (part.split) warp::atomic_add(total + receiver, sum_t); else *(total + receiver) = sum_t;
        warp::end_bulk();
        *(staging + lane) = acc;
        __syncwarp();
        warp::for_elements<32>(lane, [&](int i) { if (part.split) warp::atomic_add(out + lane + (long long)receiver * 32 + i, *(staging + lane + i)); else *(out + lane + (long long)receiver * 32 + i) = *(staging + lane + i); });
        warp::atomic_add(permuted + reversed[lane] + (long long)receiver * 32, acc);
        __syncwarp();
    }
    warp::end_bulk();
}

extern "C" __global__ void __launch_bounds__(64, 1)
every_construct(const float* __restrict__ x, const float* __restrict__ y, const float* __restrict__ w, const int* __restrict__ sender, const int* __restrict__ row_ptr, float* out, float* total, float* count, float* grad_w, float* grad_y, float* grad_x, float* permuted, float* last, int rows, int rows_per_warp, bool shared_edges) {
    const int warp_in_block = warp::uniform(static_cast<int>(threadIdx.x) / 32), lane = static_cast<int>(threadIdx.x) % 32;
    constexpr unsigned efforts[] = {0};
    const warp::Turn turn(efforts, 2, warp_in_block);
    const warp::Part part = shared_edges ? warp::Part(row_ptr, rows, 0, 0x7fffffff, turn, lane) : warp::Part(0, rows, rows_per_warp, turn.warp);
    const int row_begin = part.row_begin, row_end = part.row_end;
    if (row_begin >= row_end) return warp::zeros_ready();
    extern __shared__ __align__(128) unsigned char shared_memory[];
    float* const region = reinterpret_cast<float*>(shared_memory + warp_in_block * 1152);
    warp::barrier* const barriers = reinterpret_cast<warp::barrier*>(shared_memory + 2304) + warp_in_block * 3;
    switch (turn.place) {
        case 0:
            task_all(x, y, w, sender, row_ptr, out, total, count, grad_w, grad_y, grad_x, permuted, last, 0, row_begin, row_end, part, lane, region, barriers);
            break;
    }
}

extern "C" __global__ void every_construct_zero(const __grid_constant__ warp::Ranges ranges) { warp::zero(ranges); }
