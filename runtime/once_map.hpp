// Makes each value once, however many threads ask for it at the same time.
#pragma once

#include <functional>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <string>

namespace flashtp {

/// The first thread to ask for a key makes its value, without holding a lock; others wait for it. A value that could not be
/// made throws in every thread that waited, and is tried again by the next.
template <class T>
class OnceMap {
  public:
    using Value = std::shared_ptr<T>;

    Value get(const std::string& key, const std::function<Value()>& make) {
        std::promise<Value> promise;
        {
            std::unique_lock lock(mutex_);
            const auto [place, is_new] = futures_.try_emplace(key);
            if (!is_new) {
                const std::shared_future<Value> future = place->second;
                lock.unlock();
                return future.get();
            }
            place->second = promise.get_future().share();
        }
        try {
            Value value = make();
            promise.set_value(value);
            return value;
        } catch (...) {
            {
                const std::lock_guard lock(mutex_);
                futures_.erase(key);
            }
            promise.set_exception(std::current_exception());
            throw;
        }
    }

  private:
    std::mutex mutex_;
    std::map<std::string, std::shared_future<Value>> futures_;
};

}  // namespace flashtp
