// Every environment variable the library reads, in one table, and the options of an engine.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "runtime/cache/store.hpp"
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
inline constexpr EnvironmentVariable cache_path{
    "FLASHTP_CACHE_PATH", "none",
    "Cache directories and packs that are read after the directory above and never written: absolute paths, separated by colons."};
inline constexpr EnvironmentVariable cache_trusted_uids{
    "FLASHTP_CACHE_TRUSTED_UIDS", "none",
    "Numbers of users, separated by commas, whose cache files are believed besides those of this user and root."};
inline constexpr EnvironmentVariable cache_group{
    "FLASHTP_CACHE_GROUP", "off",
    "`on` shares the directory with its group: files of members count, and members may write. They can then run code as you."};
inline constexpr EnvironmentVariable cache_max_bytes{"FLASHTP_CACHE_MAX_BYTES", "2147483648",
                                                     "Bytes above which the entries unused for longest are removed."};
inline constexpr EnvironmentVariable cache_max_files{"FLASHTP_CACHE_MAX_FILES", "10000",
                                                     "Entries above which those unused for longest are removed."};
inline constexpr EnvironmentVariable cache_lock_seconds{
    "FLASHTP_CACHE_LOCK_SECONDS", "60",
    "The longest wait for another process of this machine that compiles the same kernel; 0: no waiting."};
inline constexpr EnvironmentVariable require_cached{
    "FLASHTP_REQUIRE_CACHED", "0", "`1` makes a kernel that is in no cache an error that names it; nothing is compiled."};
inline constexpr EnvironmentVariable self_check{
    "FLASHTP_SELF_CHECK", "0",
    "`1` compares a kernel with the exact evaluation on a small random problem before its first use; the verdict is kept in its "
    "cache entry, and a kernel that fails is not used."};
inline constexpr EnvironmentVariable cache_verify{
    "FLASHTP_CACHE_VERIFY", "0",
    "`1` compiles every kernel that the cache has once more and compares: a difference is an error that names the kernel. For tests of "
    "toolchains, since it takes as long as having no cache."};
inline constexpr EnvironmentVariable compile_helper{
    "FLASHTP_COMPILE_HELPER", "searched: beside this library, `../bin`",
    "Path of `flashtp-compile`, in which large kernels are compiled so that a runaway compiler can be ended; `off` compiles "
    "everything in this process."};
inline constexpr EnvironmentVariable compile_seconds{"FLASHTP_COMPILE_SECONDS", "120",
                                                     "Seconds after which a helper's compilation is ended."};
inline constexpr EnvironmentVariable compile_bytes{"FLASHTP_COMPILE_BYTES", "8589934592",
                                                   "Bytes of address space that a helper may use."};
inline constexpr EnvironmentVariable num_threads{"FLASHTP_NUM_THREADS", "the number of cores this process may use",
                                                 "Threads of a run on the CPU."};
inline constexpr EnvironmentVariable nvrtc{
    "FLASHTP_NVRTC",
    "searched: loader path, CUDA toolkits (`CUDA_HOME`, `CUDA_PATH`, `/usr/local`), the Python package "
    "`nvidia-cuda-nvrtc` (of `VIRTUAL_ENV` or `CONDA_PREFIX`, beside this library, of the user, of the system)",
    "Path of the NVRTC library that compiles CUDA code."};
inline constexpr EnvironmentVariable llvm_plugin{"FLASHTP_LLVM_PLUGIN", "searched: beside this library, then the loader path",
                                                 "Path of `libflashtp_llvm.so`, the CPU back end."};

inline constexpr EnvironmentVariable all[] = {
    cache,           cache_dir,          cache_path,     cache_trusted_uids, cache_group,    cache_max_bytes, cache_max_files,
    cache_lock_seconds, require_cached,  self_check,     cache_verify,       compile_helper, compile_seconds, compile_bytes,
    num_threads,     nvrtc,              llvm_plugin};
}  // namespace environment

/// The variable's value; nothing when it is unset or empty, or when the process runs with more rights than its user
/// (setuid), whose environment is not to be trusted.
std::optional<std::string> value_of(const EnvironmentVariable&);

/// docs/environment.md: the table above.
std::string environment_markdown();

struct EngineOptions {
    /// Unset: default_cache_directory(). Empty: memory only.
    std::optional<std::filesystem::path> cache_directory;
    /// Unset: FLASHTP_CACHE_PATH, unless the directory is given and empty.
    std::optional<std::vector<std::filesystem::path>> read_only_caches;
    std::optional<bool> require_cached, self_check;  ///< unset: from the environment
    int threads = 0;                                 ///< of a run on the CPU; 0: default_threads()
    LogSink log;
};

/// From the environment; empty when caching is off, no absolute directory is known, or the process runs with more rights than its
/// user. Throws UserError for values that are no absolute path.
std::filesystem::path default_cache_directory();
/// Absolute paths separated by colons. Throws UserError for others.
std::vector<std::filesystem::path> parse_cache_path(std::string_view);
/// What the options leave open comes from the environment. Throws UserError for values that are wrong.
StoreOptions store_options(const EngineOptions&);
/// "1" or "on" is true, "0" or "off" is false. Throws UserError for others.
bool flag_of(const EnvironmentVariable&);
/// A whole number of at least `least`. Throws UserError for others.
std::uint64_t number_of(const EnvironmentVariable&, std::uint64_t otherwise, std::uint64_t least = 0);
/// FLASHTP_NUM_THREADS, else the cores this process may use. Throws UserError when the variable is no number from 1 to 1024.
int default_threads();

}  // namespace flashtp
