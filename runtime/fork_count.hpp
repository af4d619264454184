// Which process this is, without a system call.
#pragma once

#include <pthread.h>

#include <atomic>
#include <cstdint>
#include <new>

namespace flashtp {

/// A number that a process shares with none of those it was forked from; never 0. getpid() says the same, but is a system call, which
/// costs as much as the rest of a launch. Children that do not run the handlers of fork(), as those of _Fork(), are not noticed.
inline std::uint64_t fork_count() {
    static std::atomic<std::uint64_t> count{1};
    static const bool is_told = [] {
        if (::pthread_atfork(nullptr, nullptr, [] { count.fetch_add(1, std::memory_order_relaxed); }) != 0) throw std::bad_alloc();
        return true;
    }();
    static_cast<void>(is_told);
    return count.load(std::memory_order_relaxed);
}

}  // namespace flashtp
