#include "runtime/files.hpp"

#include <fcntl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <string>

namespace flashtp {
namespace {

class File {
  public:
    explicit File(int descriptor) : descriptor_(descriptor) {}
    ~File() { close(); }
    File(const File&) = delete;
    File& operator=(const File&) = delete;

    int get() const { return descriptor_; }
    /// Network file systems report failed writes here.
    int close() {
        if (descriptor_ < 0) return 0;
        const int result = ::close(descriptor_);
        descriptor_ = -1;
        return result;
    }

  private:
    int descriptor_;
};

int open_retrying(const char* path, int flags, mode_t mode = 0) {
    int descriptor;
    do descriptor = ::open(path, flags, mode);
    while (descriptor < 0 && errno == EINTR);
    return descriptor;
}

bool trusted(const struct stat& status) {
    const bool owner = status.st_uid == ::geteuid() || status.st_uid == 0;
    return owner && (status.st_mode & (S_IWGRP | S_IWOTH)) == 0;
}

bool read_all(int descriptor, std::vector<std::uint8_t>& bytes) {
    std::size_t done = 0;
    while (done < bytes.size()) {
        const ssize_t count = ::read(descriptor, bytes.data() + done, bytes.size() - done);
        if (count < 0 && errno == EINTR) continue;
        if (count <= 0) return false;
        done += static_cast<std::size_t>(count);
    }
    return true;
}

bool write_all(int descriptor, const std::vector<std::uint8_t>& bytes) {
    std::size_t done = 0;
    while (done < bytes.size()) {
        const ssize_t count = ::write(descriptor, bytes.data() + done, bytes.size() - done);
        if (count < 0 && errno == EINTR) continue;
        if (count <= 0) return false;
        done += static_cast<std::size_t>(count);
    }
    return true;
}

std::string random_name() {
    std::uint8_t bytes[16];
    if (::getrandom(bytes, sizeof bytes, 0) != sizeof bytes) return {};
    std::string name;
    for (const std::uint8_t byte : bytes) {
        name += "0123456789abcdef"[byte >> 4];
        name += "0123456789abcdef"[byte & 15];
    }
    return name;
}

/// link says EEXIST when another writer was first, and may report failure although the link was made (a lost reply of a
/// network server): then the file has two names.
int link_file(const char* temporary, const char* final) {
    if (::link(temporary, final) == 0 || errno == EEXIST) return 0;
    const int error = errno;
    struct stat status;
    if (::stat(temporary, &status) == 0 && status.st_nlink == 2) return 0;
    const bool no_links = error == EPERM || error == EOPNOTSUPP || error == ENOSYS || error == EMLINK;
    if (no_links && ::rename(temporary, final) == 0) return 0;
    return error;
}

}  // namespace

std::optional<std::vector<std::uint8_t>> read_file(const std::filesystem::path& path, std::uint64_t limit, int& error) {
    // O_NONBLOCK: opening a pipe must not wait for its writer.
    File file(open_retrying(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
    struct stat status;
    if (file.get() < 0 || ::fstat(file.get(), &status) != 0) {
        error = errno;
        return std::nullopt;
    }
    const bool fits = status.st_size >= 0 && static_cast<std::uint64_t>(status.st_size) <= limit;
    if (!S_ISREG(status.st_mode) || !trusted(status) || !fits) {
        error = -1;
        return std::nullopt;
    }
    std::vector<std::uint8_t> bytes(static_cast<std::size_t>(status.st_size));
    if (!read_all(file.get(), bytes)) {
        error = errno ? errno : EIO;
        return std::nullopt;
    }
    return bytes;
}

int make_private_directory(const std::filesystem::path& path) {
    if (::mkdir(path.c_str(), 0700) == 0) return 0;
    if (errno == ENOENT && path.has_parent_path() && path.parent_path() != path) {
        if (const int error = make_private_directory(path.parent_path())) return error;
        if (::mkdir(path.c_str(), 0700) == 0) return 0;
    }
    if (errno != EEXIST) return errno;
    struct stat status;
    if (::stat(path.c_str(), &status) != 0) return errno;
    return S_ISDIR(status.st_mode) ? 0 : ENOTDIR;
}

std::optional<std::filesystem::path> write_temporary(const std::filesystem::path& directory,
                                                     const std::vector<std::uint8_t>& bytes, int& error) {
    const std::string name = random_name();
    const std::filesystem::path path = directory / name;
    if (name.empty()) {
        error = EAGAIN;
        return std::nullopt;
    }
    File file(open_retrying(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (file.get() < 0) {
        error = errno;
        return std::nullopt;
    }
    // fsync: network file systems report a full disk here, and after a crash a published file is complete.
    if (write_all(file.get(), bytes) && ::fsync(file.get()) == 0 && file.close() == 0) return path;
    error = errno ? errno : EIO;
    ::unlink(path.c_str());
    return std::nullopt;
}

int publish_file(const std::filesystem::path& temporary, const std::filesystem::path& final, bool replace) {
    int error = 0;
    if (replace)
        error = ::rename(temporary.c_str(), final.c_str()) == 0 ? 0 : errno;
    else
        error = link_file(temporary.c_str(), final.c_str());
    ::unlink(temporary.c_str());
    return error;
}

}  // namespace flashtp
