// What the device at hand can do: the yardstick of `bench`.
#pragma once

#include <functional>

#include "ir/dtype.hpp"
#include "runtime/engine.hpp"

namespace flashtp::tools {

struct Peak {
    double copied_bytes = 0;   ///< a second, read and written both counted
    double multiply_adds = 0;  ///< a second, in the given type
};
/// Which seconds count on a CPU: all, or those in which the calling thread ran, where others use the same cores.
enum class Stopwatch { wall, thread };
double seconds_on(Stopwatch);

/// `threads` is 1 with Stopwatch::thread.
Peak measure_cpu(DType, int threads, Stopwatch);
/// The current device. Throws DeviceError, CompileError.
Peak measure_cuda(DType, const Target&);

/// Seconds of several runs after one to warm up, as `run` returns them: at least `least`, more while they are quick.
struct Timing {
    double median = 0, best = 0;
};
Timing time_runs(const std::function<double()>& run, int least = 7);

}  // namespace flashtp::tools
