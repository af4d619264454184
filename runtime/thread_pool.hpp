// Threads that wait for work between runs of CPU kernels.
#pragma once

#include <functional>

namespace flashtp {

/// Calls work(0) ... work(threads - 1), each once, and returns when all have returned; 0 threads: default_threads(). work(0) runs on
/// the calling thread. The others run on helpers, which the process shares and keeps; while there is one caller at a time, the same
/// number runs on the same helper in every call, so that memory stays near it. A number whose helper is at work for somebody else
/// runs on the calling thread instead: many callers do not multiply threads, and calls from within `work` cannot deadlock. So `work`
/// must not wait for another number. The first exception, by number, is thrown here after all have returned. A child of fork() gets
/// helpers of its own.
void parallel(int threads, const std::function<void(int thread)>& work);

/// Helpers this process has started.
int helper_threads();

}  // namespace flashtp
