// File system calls of the cache, with errno results instead of exceptions: the cache treats every failure as a miss.
#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace flashtp {

/// Whose files are believed. Write access to the cache is code execution, so that files and directories must belong to this user,
/// to root or to a trusted user, and nobody else may be able to write them.
struct Trust {
    std::vector<uid_t> owners;  ///< besides this user and root
    bool group = false;         ///< the cache is shared with a group whose members may write

    bool accepts(const struct stat&) const;
    mode_t directory_mode() const { return group ? 02770 : 0700; }
    mode_t file_mode() const { return group ? 0640 : 0600; }
};

/// A descriptor that is closed on every way out.
class File {
  public:
    explicit File(int descriptor = -1) : descriptor_(descriptor) {}
    ~File() { close(); }
    File(File&& other) noexcept : descriptor_(other.release()) {}
    File& operator=(File&& other) noexcept;

    int get() const { return descriptor_; }
    explicit operator bool() const { return descriptor_ >= 0; }
    int release();
    /// Network file systems report failed writes here.
    int close();

  private:
    int descriptor_;
};

/// open() that is repeated when a signal interrupts it.
File open_file(const std::filesystem::path&, int flags, mode_t mode = 0);

enum class ReadProblem { none, absent, unreadable, untrusted };
struct FileContent {
    ReadProblem problem = ReadProblem::none;
    int error = 0;  ///< errno where it was unreadable
    std::vector<std::uint8_t> bytes;
};
/// Opens a regular file that the trust accepts, for reading. Symbolic links, pipes, devices and files over the limit are refused
/// without being followed or waited for. `status` is the file's.
File open_trusted(const std::filesystem::path&, const Trust&, std::uint64_t limit, struct stat& status, FileContent& problem);
/// Reads such a file into memory; once more when a network file system replaced it meanwhile. With refresh, a file that was last
/// used more than an hour ago is marked as used now.
FileContent read_file(const std::filesystem::path&, const Trust&, std::uint64_t limit, bool refresh);
/// Reads exactly so many bytes from a position.
bool read_at(int descriptor, std::uint64_t offset, std::vector<std::uint8_t>& bytes);

/// Creates the directory and its parents; the directory itself with the trust's mode. 0, or the errno; EPERM where it exists and the
/// trust does not accept it.
int make_directory(const std::filesystem::path&, const Trust&);

/// A complete file under an unguessable name, locked as long as its writer lives.
struct Temporary {
    std::filesystem::path path;
    File file;
    std::int64_t written_at = 0;  ///< by the clock of the file system
};
/// On failure nothing is left and `error` is set.
std::optional<Temporary> write_temporary(const std::filesystem::path& directory, const std::vector<std::uint8_t>&, const Trust&,
                                         int& error);
/// Gives a temporary file its final name. With replace an existing one is replaced, otherwise it stays and that is success. The
/// temporary name is gone afterwards in any case. 0, or the errno.
int publish_file(Temporary, const std::filesystem::path& final, bool replace);

/// Names in a directory without "." and ".."; what cannot be read is left out.
std::vector<std::string> names_in(const std::filesystem::path& directory);

}  // namespace flashtp
