// Threads that wait for work between runs of CPU kernels.
#pragma once

#include <cstdint>
#include <functional>

namespace flashtp {

/// Calls work(0) ... work(threads - 1), each once, and returns when all have returned; 0 threads: default_threads(). work(0) runs on
/// the calling thread. The others run on helpers, which the process shares and keeps; while there is one caller at a time, the same
/// number runs on the same helper in every call, so that memory stays near it. A number whose helper is at work for somebody else
/// runs on the calling thread instead: many callers do not multiply threads, and calls from within `work` cannot deadlock. So `work`
/// must not wait for another number. The first exception, by number, is thrown here after all have returned. A child of fork() gets
/// helpers of its own.
void parallel(int threads, const std::function<void(int thread)>& work);

/// What `parallel` is, or a pool of somebody else's that does the same.
using ParallelFor = std::function<void(int threads, const std::function<void(int thread)>& work)>;

/// A pool of the caller's: `run` calls work(context, 0) ... work(context, count - 1), each once, on whatever threads and in
/// whatever order, and returns when all have returned.
struct CallerPool {
    void (*run)(void* user, std::int32_t count, void (*work)(void* context, std::int32_t number), void* context) = nullptr;
    void* user = nullptr;
};
/// Exceptions of `work` do not pass through the caller's pool; the first, by number, is thrown after it has returned. Throws
/// UserError where the pool left a number out.
ParallelFor parallel_on(CallerPool);

/// Helpers this process has started.
int helper_threads();

}  // namespace flashtp
