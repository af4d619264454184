// Every environment variable the library reads, in one table, and the options of an engine.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "runtime/log.hpp"

namespace flashtp {

struct EnvironmentVariable {
    std::string_view name;
    std::string_view unset;  ///< what holds when it is not set, for the documentation
    std::string_view what;
};

namespace environment {
inline constexpr EnvironmentVariable cache{
    "FLASHTP_CACHE", "on", "`off` keeps compiled kernels in memory only; nothing is read from or written to disk."};
inline constexpr EnvironmentVariable cache_dir{
    "FLASHTP_CACHE_DIR", "`$XDG_CACHE_HOME/flashtp`, else `~/.cache/flashtp`",
    "Absolute path of the directory that holds compiled kernels. It is created with mode 0700."};
inline constexpr EnvironmentVariable num_threads{"FLASHTP_NUM_THREADS", "the number of cores this process may use",
                                                 "Threads of a run on the CPU."};
inline constexpr EnvironmentVariable nvrtc{
    "FLASHTP_NVRTC",
    "searched: loader path, CUDA toolkits (`CUDA_HOME`, `CUDA_PATH`, `/usr/local`), the Python package "
    "`nvidia-cuda-nvrtc` (of `VIRTUAL_ENV` or `CONDA_PREFIX`, beside this library, of the user, of the system)",
    "Path of the NVRTC library that compiles CUDA code."};
inline constexpr EnvironmentVariable llvm_plugin{"FLASHTP_LLVM_PLUGIN", "searched: beside this library, then the loader path",
                                                 "Path of `libflashtp_llvm.so`, the CPU back end."};

inline constexpr EnvironmentVariable all[] = {cache, cache_dir, num_threads, nvrtc, llvm_plugin};
}  // namespace environment

/// The variable's value; nothing when it is unset or empty, or when the process runs with more rights than its user
/// (setuid), whose environment is not to be trusted.
std::optional<std::string> value_of(const EnvironmentVariable&);

/// docs/environment.md: the table above.
std::string environment_markdown();

struct EngineOptions {
    /// Unset: default_cache_directory(). Empty: memory only.
    std::optional<std::filesystem::path> cache_directory;
    int threads = 0;  ///< of a run on the CPU; 0: default_threads()
    LogSink log;
};

/// From the environment; empty when caching is off or no absolute directory is known.
std::filesystem::path default_cache_directory();
/// FLASHTP_NUM_THREADS, else the cores this process may use. Throws UserError when the variable is no number from 1 to 1024.
int default_threads();

}  // namespace flashtp
