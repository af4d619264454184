// State behind locks that a child of fork() does without.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "runtime/fork_count.hpp"

namespace flashtp {

/// A State for every process that asks. A child of fork() has none of its parent's threads, and one of them may have held a lock of the
/// state: the child leaves the parent's state alone, for ever, and starts with a fresh one. Thread-safe.
template <class State>
class PerProcess {
  public:
    PerProcess() = default;
    ~PerProcess() {
        Node* const node = current_.load(std::memory_order_acquire);
        if (node && node->process == fork_count()) delete node;
    }
    PerProcess(const PerProcess&) = delete;
    PerProcess& operator=(const PerProcess&) = delete;

    State& get() const {
        Node* node = current_.load(std::memory_order_acquire);
        while (!node || node->process != fork_count()) {
            auto fresh = std::make_unique<Node>();
            if (current_.compare_exchange_strong(node, fresh.get(), std::memory_order_acq_rel)) return fresh.release()->state;
        }
        return node->state;
    }

  private:
    struct Node {
        std::uint64_t process = fork_count();
        State state;
    };
    mutable std::atomic<Node*> current_{nullptr};
};

}  // namespace flashtp
