// The two kinds of error: the user's, which names the instruction or key and the rule, and ours, which prints the IR.
#pragma once

#include <stdexcept>
#include <string>

#include <fmt/format.h>

namespace flashtp {

/// The input breaks a documented rule. The message names the instruction, key or argument at fault and the rule.
struct UserError : std::runtime_error {
    using std::runtime_error::runtime_error;
};

/// The input is beyond a documented limit (`ir/limits.hpp`). The message names the limit.
struct LimitError : UserError {
    using UserError::UserError;
};

/// An invariant of this library does not hold. The message carries the IR that breaks it.
struct InternalError : std::logic_error {
    using std::logic_error::logic_error;
};

/// A toolchain refused generated code, or is missing. Carries its log.
struct CompileError : std::runtime_error {
    using std::runtime_error::runtime_error;
};

/// No usable device or driver, or a driver call failed. Names the call and the driver's error.
struct DeviceError : std::runtime_error {
    using std::runtime_error::runtime_error;
};

/// Nothing may be compiled, and a kernel is in no cache. Carries its key and where it was looked for.
struct NotCachedError : CompileError {
    using CompileError::CompileError;
};

/// Code would have to be loaded while the stream is captured into a graph.
struct NotPreparedError : DeviceError {
    using DeviceError::DeviceError;
};

/// A CUDA call in a child of fork(), where the parent's driver state is of no use.
struct ForkedError : DeviceError {
    using DeviceError::DeviceError;
};

/// An earlier failure of a kernel made the CUDA context unusable; only a new process helps.
struct ContextLostError : DeviceError {
    using DeviceError::DeviceError;
};

template <class... Args>
[[noreturn]] void user_error(fmt::format_string<Args...> text, Args&&... args) {
    throw UserError(fmt::format(text, std::forward<Args>(args)...));
}

template <class... Args>
[[noreturn]] void internal_error(fmt::format_string<Args...> text, Args&&... args) {
    throw InternalError(fmt::format(text, std::forward<Args>(args)...));
}

}  // namespace flashtp
