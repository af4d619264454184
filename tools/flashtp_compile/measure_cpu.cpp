// Copy bandwidth and multiply-add rate of the cores at hand.
#include <time.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "runtime/thread_pool.hpp"
#include "tools/flashtp_compile/measure.hpp"

namespace flashtp::tools {
namespace {

double seconds_on(Stopwatch stopwatch) {
    timespec now{};
    clock_gettime(stopwatch == Stopwatch::wall ? CLOCK_MONOTONIC : CLOCK_THREAD_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

double copy_rate(int threads, Stopwatch stopwatch) {
    // Larger than any cache.
    constexpr std::size_t bytes = std::size_t{256} << 20;
    std::vector<char> from(bytes, 1), to(bytes, 2);
    const std::size_t part = bytes / static_cast<std::size_t>(threads);
    const Timing timing = time_runs(
        [&] {
            return seconds_of(stopwatch, [&](const ParallelFor& pool) {
                pool(threads, [&](int thread) {
                    const std::size_t begin = static_cast<std::size_t>(thread) * part;
                    std::memcpy(to.data() + begin, from.data() + begin, part);
                });
            });
        },
        5);
    return 2.0 * static_cast<double>(part) * threads / timing.best;
}

constexpr std::int64_t rounds = 2'000'000;
/// Independent chains: more than latency times issue width, and with both constants no more than 16 registers.
constexpr int chains = 12;

/// Returns multiply-adds done; `sink` keeps the compiler from removing them.
#if defined(__x86_64__)
#define FLASHTP_FMA_LOOP(name, isa, type, vector, set, fma, count)                                                               \
    __attribute__((target(isa), noinline)) std::int64_t name(volatile type& sink) {                                              \
        vector sums[chains];                                                                                                     \
        for (int c = 0; c < chains; ++c) sums[c] = set(static_cast<type>(c));                                                    \
        const vector a = set(type(0.999)), b = set(type(0.001));                                                                 \
        for (std::int64_t i = 0; i < rounds; ++i) {                                                                              \
            _Pragma("GCC unroll 12") for (int c = 0; c < chains; ++c) sums[c] = fma(sums[c], a, b);                              \
        }                                                                                                                        \
        for (int c = 0; c < chains; ++c) sink = sink + sums[c][0];                                                               \
        return rounds * chains * (count);                                                                                        \
    }
FLASHTP_FMA_LOOP(fma_512_f32, "avx512f", float, __m512, _mm512_set1_ps, _mm512_fmadd_ps, 16)
FLASHTP_FMA_LOOP(fma_512_f64, "avx512f", double, __m512d, _mm512_set1_pd, _mm512_fmadd_pd, 8)
FLASHTP_FMA_LOOP(fma_256_f32, "avx2,fma", float, __m256, _mm256_set1_ps, _mm256_fmadd_ps, 8)
FLASHTP_FMA_LOOP(fma_256_f64, "avx2,fma", double, __m256d, _mm256_set1_pd, _mm256_fmadd_pd, 4)
#undef FLASHTP_FMA_LOOP
#endif

/// Processors without the instructions above: a product and a sum a lane, in vectors of 128 bits as the compiler makes them.
template <class T>
__attribute__((noinline)) std::int64_t fma_plain(volatile T& sink) {
    T sums[chains];
    for (int c = 0; c < chains; ++c) sums[c] = static_cast<T>(c);
    for (std::int64_t i = 0; i < rounds; ++i) {
        for (int c = 0; c < chains; ++c) sums[c] = sums[c] * T(0.999) + T(0.001);
    }
    for (int c = 0; c < chains; ++c) sink = sink + sums[c];
    return rounds * chains;
}

std::int64_t multiply_add(DType dtype) {
    volatile float f32 = 0;
    volatile double f64 = 0;
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f")) return dtype == DType::float32 ? fma_512_f32(f32) : fma_512_f64(f64);
    if (__builtin_cpu_supports("fma")) return dtype == DType::float32 ? fma_256_f32(f32) : fma_256_f64(f64);
#endif
    return dtype == DType::float32 ? fma_plain<float>(f32) : fma_plain<double>(f64);
}

double fma_rate(DType dtype, int threads, Stopwatch stopwatch) {
    std::atomic<std::int64_t> done{0};
    const Timing timing = time_runs(
        [&] {
            done = 0;
            return seconds_of(stopwatch,
                              [&](const ParallelFor& pool) { pool(threads, [&](int) { done += multiply_add(dtype); }); });
        },
        5);
    return static_cast<double>(done) / timing.best;
}

}  // namespace

Timing time_runs(const std::function<double()>& run, int least) {
    return time_in_turns(
        1, [&](int) { return run(); }, least)[0];
}

std::vector<Timing> time_in_turns(int count, const std::function<double(int)>& run, int least) {
    for (int i = 0; i < count; ++i) run(i);
    std::vector<std::vector<double>> seconds(static_cast<std::size_t>(count));
    double total = 0;
    for (int turn = 0; turn < least || (total < 0.3 * count && turn < 200); ++turn) {
        for (int i = 0; i < count; ++i) total += seconds[static_cast<std::size_t>(i)].emplace_back(run(i));
    }
    std::vector<Timing> timings;
    for (std::vector<double>& each : seconds) {
        std::ranges::sort(each);
        timings.push_back({each[each.size() / 2], each.front()});
    }
    return timings;
}

double seconds_of(Stopwatch stopwatch, const std::function<void(const ParallelFor& pool)>& run) {
    const double start = seconds_on(stopwatch);
    if (stopwatch == Stopwatch::wall) {
        run(parallel);
        return seconds_on(stopwatch) - start;
    }
    double waited = 0;  // for threads that ran longer than the caller
    run([&](int threads, const std::function<void(int)>& work) {
        std::vector<double> ran(static_cast<std::size_t>(threads));
        const double begin = seconds_on(stopwatch);
        parallel(threads, [&](int thread) {
            const double own = seconds_on(stopwatch);
            work(thread);
            ran[static_cast<std::size_t>(thread)] = seconds_on(stopwatch) - own;
        });
        const double caller = seconds_on(stopwatch) - begin;
        waited += std::max(0.0, *std::ranges::max_element(ran) - caller);
    });
    return seconds_on(stopwatch) - start + waited;
}

Peak measure_cpu(DType dtype, int threads, Stopwatch stopwatch) {
    return {copy_rate(threads, stopwatch), fma_rate(dtype, threads, stopwatch)};
}

}  // namespace flashtp::tools
