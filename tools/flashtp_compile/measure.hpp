// What the device at hand can do: the yardstick of `bench`.
#pragma once

#include <functional>
#include <vector>

#include "ir/dtype.hpp"
#include "runtime/engine.hpp"
#include "runtime/thread_pool.hpp"

namespace flashtp::tools {

struct Peak {
    double copied_bytes = 0;   ///< a second, read and written both counted
    double multiply_adds = 0;  ///< a second, in the given type
};
/// Which seconds count on a CPU: all, or those in which threads ran, where others use the same cores. By the latter clock a run takes
/// as long as the caller ran, and for each use of the pool as long as the thread ran that ran longest.
enum class Stopwatch { wall, thread };
double seconds_of(Stopwatch, const std::function<void(const ParallelFor& pool)>& run);

Peak measure_cpu(DType, int threads, Stopwatch);
/// The current device. Throws DeviceError, CompileError.
Peak measure_cuda(DType, const Target&);

/// Seconds of several runs after one to warm up, as `run` returns them: at least `least`, more while they are quick.
struct Timing {
    double median = 0, best = 0;
};
Timing time_runs(const std::function<double()>& run, int least = 7);
/// The same of several runs that take turns: run(i) for i from 0 to count - 1.
std::vector<Timing> time_in_turns(int count, const std::function<double(int)>& run, int least = 7);

}  // namespace flashtp::tools
