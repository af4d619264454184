// Where the library says things: a callback of the caller's, silent by default. The library never prints.
#pragma once

#include <functional>
#include <mutex>
#include <set>
#include <string>
#include <string_view>

#include "runtime/per_process.hpp"

namespace flashtp {

enum class LogLevel { debug, info, warning };

/// Called from any thread, never from two at once.
using LogSink = std::function<void(LogLevel, std::string_view)>;

class Log {
  public:
    explicit Log(LogSink sink = {}) : sink_(std::move(sink)) {}

    void write(LogLevel level, std::string_view message) {
        if (!sink_) return;
        const std::lock_guard lock(state_.get().mutex);
        sink_(level, message);
    }
    /// A warning whose cause may recur thousands of times: only the first of each cause is passed on.
    void warn_once(const std::string& cause, std::string_view message) {
        if (!sink_) return;
        State& state = state_.get();
        const std::lock_guard lock(state.mutex);
        if (state.causes.insert(cause).second) sink_(LogLevel::warning, message);
    }

  private:
    struct State {
        std::mutex mutex;
        std::set<std::string> causes;
    };
    LogSink sink_;
    PerProcess<State> state_;
};

}  // namespace flashtp
