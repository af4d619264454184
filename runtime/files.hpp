// File system calls of the cache, with errno results instead of exceptions: the cache treats every failure as a miss.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <vector>

namespace flashtp {

/// Reads a regular file of at most `limit` bytes into memory. Symbolic links, pipes, devices, files of other users (root
/// excepted) and files others may write are refused. On failure `error` is the errno, or -1 for a file that is refused.
std::optional<std::vector<std::uint8_t>> read_file(const std::filesystem::path&, std::uint64_t limit, int& error);

/// Creates the directory and its parents with mode 0700 and checks that it is ours. 0, or the errno.
int make_private_directory(const std::filesystem::path&);

/// Writes a new file of mode 0600 under an unguessable name in the directory. On failure nothing is left and `error` is set.
std::optional<std::filesystem::path> write_temporary(const std::filesystem::path& directory, const std::vector<std::uint8_t>&,
                                                     int& error);

/// Gives a complete file its final name. With replace an existing one is replaced, otherwise it stays and that is success.
/// The temporary name is gone afterwards in any case. 0, or the errno.
int publish_file(const std::filesystem::path& temporary, const std::filesystem::path& final, bool replace);

}  // namespace flashtp
