// Compiles in a process of its own, so that a compiler that runs away can be ended.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "runtime/backend.hpp"

namespace flashtp {

struct CompileLimits {
    std::uint64_t seconds = 120, bytes = 8ull << 30;
};

struct HelperJob {
    std::string compiler;  ///< file of the compiler's library, which the helper must load
    std::string identity;  ///< Backend::identity here; a helper with another does not compile
    const Kernel& kernel;  ///< its name and target count
    const std::string& source;
};

/// `flashtp-compile`, where FLASHTP_COMPILE_HELPER says or beside this library; empty where there is none or it is off.
std::filesystem::path find_compile_helper();

/// Starts the helper, gives it the source and reads the code. Nothing when the helper could not be started or has another compiler:
/// `why` says which, and the caller compiles itself. Throws CompileError for what the compiler refused and when a limit was reached.
std::optional<Artifact> compile_in_helper(const std::filesystem::path& helper, const HelperJob&, const CompileLimits&,
                                          std::string& why);

/// The helper's side: reads a job from standard input and writes its answer to standard output. Returns the exit code.
int serve_compile(std::uint64_t address_space_bytes);

}  // namespace flashtp
