#include <cmath>

#include "ir/interpret_plan.hpp"

// Rows are equal or disjoint, so lanes are independent; the compiler cannot know that.
#if defined(__clang__)
#define FLASHTP_LANES _Pragma("clang loop vectorize(assume_safety)")
#else
#define FLASHTP_LANES _Pragma("GCC ivdep")
#endif

namespace flashtp::interpreter {
namespace {

/// `width` is the number of lanes where it is a usual one, which lets the compiler unroll, and 0 elsewhere.
template <int width, class T>
[[gnu::always_inline]] inline void run_width(const Arithmetic* begin, const Arithmetic* end, T* registers, int any_lanes) {
    const int lanes = width > 0 ? width : any_lanes;
    const auto row = [&](int r) { return registers + static_cast<std::ptrdiff_t>(r) * lanes; };
    for (const Arithmetic* s = begin; s != end; ++s) {
        T* const dst = row(s->dst);
        const T *const a = row(s->a), *const b = row(s->b), *const c = row(s->c);
        switch (s->kind) {
        case Arithmetic::move:
            FLASHTP_LANES
            for (int lane = 0; lane < lanes; ++lane) dst[lane] = a[lane];
            break;
        case Arithmetic::mul:
            FLASHTP_LANES
            for (int lane = 0; lane < lanes; ++lane) dst[lane] = a[lane] * b[lane];
            break;
        case Arithmetic::fma:
            FLASHTP_LANES
            for (int lane = 0; lane < lanes; ++lane) dst[lane] = std::fma(a[lane], b[lane], c[lane]);
            break;
        }
    }
}

template <class T>
[[gnu::always_inline]] inline void run_all(const Arithmetic* begin, const Arithmetic* end, T* registers, int lanes) {
    switch (lanes) {
    case 32: return run_width<32>(begin, end, registers, lanes);
    case 8: return run_width<8>(begin, end, registers, lanes);
    case 4: return run_width<4>(begin, end, registers, lanes);
    default: return run_width<0>(begin, end, registers, lanes);
    }
}

#if defined(__x86_64__)
/// The baseline has no fma instruction: std::fma would be a library call a lane.
template <class T>
[[gnu::target("avx2,fma")]] void run_all_fma(const Arithmetic* begin, const Arithmetic* end, T* registers, int lanes) {
    run_all(begin, end, registers, lanes);
}
#endif

}  // namespace

template <class T>
void run_arithmetic(const Arithmetic* begin, const Arithmetic* end, T* registers, int lanes) {
#if defined(__x86_64__)
    if (__builtin_cpu_supports("fma") && __builtin_cpu_supports("avx2")) return run_all_fma(begin, end, registers, lanes);
#endif
    run_all(begin, end, registers, lanes);
}

template void run_arithmetic(const Arithmetic*, const Arithmetic*, float*, int);
template void run_arithmetic(const Arithmetic*, const Arithmetic*, double*, int);

}  // namespace flashtp::interpreter
