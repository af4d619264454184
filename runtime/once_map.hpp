// Makes each value once, however many threads ask for it at the same time.
#pragma once

#include <chrono>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "runtime/per_process.hpp"

namespace flashtp {

enum class Keep { always, while_used };

/// The first thread to ask for a key makes its value, without holding a lock; others wait for it. A value that could not be
/// made throws in every thread that waited, and is tried again by the next. With Keep::while_used a value lives as long as
/// somebody else holds it. A child of fork() starts with an empty map.
template <class T, Keep keep = Keep::always>
class OnceMap {
  public:
    using Value = std::shared_ptr<T>;

    Value get(const std::string& key, const std::function<Value()>& make) {
        State& state = state_.get();
        std::promise<Value> promise;
        {
            std::unique_lock lock(state.mutex);
            Entry& entry = state.entries[key];
            if (Value value = entry.made.lock()) return value;
            if (entry.making.valid()) {
                const std::shared_future<Value> future = entry.making;
                lock.unlock();
                return future.get();
            }
            entry.making = promise.get_future().share();
        }
        try {
            Value value = make();
            note(state, key, value);
            promise.set_value(value);
            return value;
        } catch (...) {
            {
                const std::lock_guard lock(state.mutex);
                state.entries.erase(key);
            }
            promise.set_exception(std::current_exception());
            throw;
        }
    }

    /// A value that somebody made, or null.
    Value find(const std::string& key) {
        State& state = state_.get();
        std::shared_future<Value> future;
        {
            const std::lock_guard lock(state.mutex);
            const auto entry = state.entries.find(key);
            if (entry == state.entries.end()) return nullptr;
            if (Value value = entry->second.made.lock()) return value;
            future = entry->second.making;
        }
        const bool ready = future.valid() && future.wait_for(std::chrono::seconds(0)) == std::future_status::ready;
        return ready ? future.get() : nullptr;
    }

  private:
    struct Entry {
        std::shared_future<Value> making;  ///< valid while it is made, and for ever with Keep::always
        std::weak_ptr<T> made;
    };

    struct State {
        std::mutex mutex;
        std::map<std::string, Entry> entries;
    };

    void note(State& state, const std::string& key, const Value& value) {
        if constexpr (keep == Keep::while_used) {
            const std::lock_guard lock(state.mutex);
            std::erase_if(state.entries, [](const auto& e) { return !e.second.making.valid() && e.second.made.expired(); });
            state.entries[key] = {{}, value};
        }
    }

    PerProcess<State> state_;
};

}  // namespace flashtp
