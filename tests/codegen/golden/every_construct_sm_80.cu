// A sample that holds every construct
// sm_80

static __device__ const int reversed[32] = {
    31, 30, 29, 28, 27, 26, 25, 24, 23, 22, 21, 20, 19, 18, 17, 16, 15, 14, 13, 12, 11, 10, 9, 8,
    7, 6, 5, 4, 3, 2, 1, 0,
};

// Task all
//   every path
static __device__ __forceinline__ void task_all(const double* __restrict__ x, const double* __restrict__ y, const double* __restrict__ w, const int* __restrict__ sender, const int* __restrict__ row_ptr, double* out, double* total, double* count, double* grad_w, double* grad_y, double* grad_x, double* permuted, double* last, int chunk, int row_begin, int row_end, warp::Part part, int lane, double* region, warp::barrier* barriers) {
    double* const ring = region + 0;
    double* const staging = region + 216;
    int first_edge = warp::uniform(row_ptr[row_begin]);
    int end_edge = warp::uniform(row_ptr[row_end]);
    if (!part.narrow(first_edge, end_edge)) return warp::zeros_ready();
    int in_flight = 0;
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
        warp::copy_elements<32, 2, 32>(ring + fill_stage * 72, w + (long long)fill_edge * 32, lane);
        warp::copy_elements<4, 2, 32>(ring + fill_stage * 72 + 32, y + (long long)fill_edge * 4, lane);
        warp::copy_elements<33, 1, 32>(ring + fill_stage * 72 + 36, x + (long long)source * 33, lane);
        warp::commit_group(in_flight);
        if (++fill_stage == 3) { fill_stage = 0; }
        fill_edge = fill_edge + 1;
    }
    warp::zeros_ready();
    for (int receiver = row_begin; receiver < row_end; ++receiver) {
        double acc = 0.0;
        double edges = 0.0;
        double sum_t = 0.0;
        int stop = warp::uniform(row_ptr[receiver + 1]);
        for (int e = first_edge; e < stop; ++e) {
            warp::wait_oldest_group<3>(in_flight);
            // one edge
            const double* const at = ring + stage * 72;
            double y_0 = at[32];
            double y_1 = at[33];
            double y_2 = at[34];
            double w_2 = *(ring + lane + stage * 72);
            double x_2 = *(ring + lane + stage * 72 + 36);
            __syncwarp();
            if (fill_edge < end_edge) {
                int source = window_0.at(fill_edge);
                if (window_0.ends<1>(fill_edge)) {
                    window_0.advance<1>(fill_edge, lane);
                }
                warp::copy_elements<32, 2, 32>(ring + fill_stage * 72, w + (long long)fill_edge * 32, lane);
                warp::copy_elements<4, 2, 32>(ring + fill_stage * 72 + 32, y + (long long)fill_edge * 4, lane);
                warp::copy_elements<33, 1, 32>(ring + fill_stage * 72 + 36, x + (long long)source * 33, lane);
                warp::commit_group(in_flight);
                if (++fill_stage == 3) { fill_stage = 0; }
                fill_edge = fill_edge + 1;
            }
            double t = w_2 * x_2;
            double y0_plus = __fma_rn(y_0, 1.0, 1.0);
            acc = __fma_rn(t, y0_plus, acc);
            edges = __fma_rn(1.0, 1.0, edges);
            double gw = x_2 * y_1;
            warp::store_once(grad_w + lane + (long long)e * 32, gw);
            double once = warp::load_once(w + lane + (long long)e * 32);
            {
                double sums[] = {t, t, once};
                warp::reduce(sums, lane, [&](int k, double sum) { warp::atomic_add(grad_y + (long long)e * 4 + k, sum); });
            }
            double sums_2[] = {t, t};
            warp::lane_sums(sums_2, lane);
            double sum_a = sums_2[0];
            double sum_b = sums_2[1];
            sum_t = __fma_rn(sum_a, 1.0, sum_t);
            sum_t = __fma_rn(sum_b, 1.0, sum_t);
            double gx = w_2 * y_2;
            int s = warp::uniform(sender ? sender[e] : e);
            warp::atomic_add(grad_x + lane + (long long)s * 32, gx);
            if (lane < 17) if (part.split) warp::atomic_add(last + lane + (long long)receiver * 32, t); else *(last + lane + (long long)receiver * 32) = t;
            if (++stage == 3) { stage = 0; phase ^= 1; }
        }
        first_edge = stop;
        if (lane == 0) if (part.split) warp::atomic_add(count + receiver, edges); else *(count + receiver) = edges;
        if (lane == 0) if (part.split) warp::atomic_add(total + receiver, sum_t); else *(total + receiver) = sum_t;
        *(staging + lane) = acc;
        __syncwarp();
        warp::for_elements<32>(lane, [&](int i) { if (part.split) warp::atomic_add(out + lane + (long long)receiver * 32 + i, *(staging + lane + i)); else *(out + lane + (long long)receiver * 32 + i) = *(staging + lane + i); });
        warp::atomic_add(permuted + reversed[lane] + (long long)receiver * 32, acc);
        __syncwarp();
    }
}

extern "C" __global__ void __launch_bounds__(64, 1)
every_construct(const double* __restrict__ x, const double* __restrict__ y, const double* __restrict__ w, const int* __restrict__ sender, const int* __restrict__ row_ptr, double* out, double* total, double* count, double* grad_w, double* grad_y, double* grad_x, double* permuted, double* last, int rows, int rows_per_warp, bool shared_edges) {
    const int warp_in_block = warp::uniform(static_cast<int>(threadIdx.x) / 32), lane = static_cast<int>(threadIdx.x) % 32;
    constexpr unsigned efforts[] = {0};
    const warp::Turn turn(efforts, 2, warp_in_block);
    const warp::Part part = shared_edges ? warp::Part(row_ptr, rows, 0, 0x7fffffff, turn, lane) : warp::Part(0, rows, rows_per_warp, turn.warp);
    const int row_begin = part.row_begin, row_end = part.row_end;
    if (row_begin >= row_end) return warp::zeros_ready();
    extern __shared__ __align__(128) unsigned char shared_memory[];
    double* const region = reinterpret_cast<double*>(shared_memory + warp_in_block * 2304);
    warp::barrier* const barriers = nullptr;
    switch (turn.place) {
        case 0:
            task_all(x, y, w, sender, row_ptr, out, total, count, grad_w, grad_y, grad_x, permuted, last, 0, row_begin, row_end, part, lane, region, barriers);
            break;
    }
}

extern "C" __global__ void every_construct_zero(const __grid_constant__ warp::Ranges ranges) { warp::zero(ranges); }
