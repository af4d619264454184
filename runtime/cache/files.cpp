#include "runtime/cache/files.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/random.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <memory>
#include <utility>

namespace flashtp {
namespace {

constexpr std::int64_t refresh_seconds = 3600;

/// Calls `transfer(data, size)` until all is moved. Sets errno when it returns false.
template <class Bytes, class Transfer>
bool transfer_all(Bytes& bytes, Transfer transfer) {
    std::size_t done = 0;
    while (done < bytes.size()) {
        const ssize_t count = transfer(bytes.data() + done, bytes.size() - done, done);
        if (count < 0 && errno == EINTR) continue;
        if (count == 0) errno = EIO;  // the file is shorter than it was, or the disk took nothing
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

/// Space is reserved first where the file system can: a full disk shows before anything is written.
bool write_whole(int descriptor, const std::vector<std::uint8_t>& bytes, const Trust& trust) {
    const int reserved = bytes.empty() ? 0 : ::posix_fallocate(descriptor, 0, static_cast<off_t>(bytes.size()));
    if (reserved == ENOSPC || reserved == EDQUOT || reserved == EIO) {
        errno = reserved;
        return false;
    }
    const auto put = [&](const std::uint8_t* data, std::size_t size, std::size_t) { return ::write(descriptor, data, size); };
    // fchmod: the process's umask is not ours to change. fsync: network file systems report a full disk here, and after a crash a
    // published file is complete.
    return transfer_all(bytes, put) && ::fchmod(descriptor, trust.file_mode()) == 0 && ::fsync(descriptor) == 0;
}

/// The lock says that the writer lives. A cleaner that took the file for abandoned got the lock first, or has removed it.
bool mark_as_alive(int descriptor) {
    if (::flock(descriptor, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) return false;
    struct stat status;
    return ::fstat(descriptor, &status) != 0 || status.st_nlink == 1;
}

/// link says EEXIST when another writer was first, and may report failure although the link was made (a lost reply of a
/// network server): then the file has two names.
int link_file(const Temporary& temporary, const char* final) {
    if (::link(temporary.path.c_str(), final) == 0 || errno == EEXIST) return 0;
    const int error = errno;
    struct stat status;
    if (::fstat(temporary.file.get(), &status) == 0 && status.st_nlink == 2) return 0;
    const bool no_links = error == EPERM || error == EOPNOTSUPP || error == ENOSYS || error == EMLINK;
    if (no_links && ::rename(temporary.path.c_str(), final) == 0) return 0;
    return error;
}

void mark_as_used(int descriptor, const struct stat& status) {
    const std::int64_t age = ::time(nullptr) - status.st_mtime;
    // Both ways: a time in the future would keep a file for ever.
    if (std::abs(age) > refresh_seconds) ::futimens(descriptor, nullptr);
}

int create_directory(const std::filesystem::path& path, mode_t mode) {
    if (::mkdir(path.c_str(), mode & 0777) == 0) return ::chmod(path.c_str(), mode) == 0 ? 0 : errno;
    return errno;
}

}  // namespace

bool Trust::accepts(const struct stat& status) const {
    const bool ours = status.st_uid == ::geteuid() || status.st_uid == 0 ||
                      std::find(owners.begin(), owners.end(), status.st_uid) != owners.end();
    const bool shared = group && ::group_member(status.st_gid);
    const mode_t forbidden = shared ? S_IWOTH : S_IWGRP | S_IWOTH;
    return (ours || shared) && (status.st_mode & forbidden) == 0;
}

File& File::operator=(File&& other) noexcept {
    if (this != &other) {
        close();
        descriptor_ = other.release();
    }
    return *this;
}

int File::release() { return std::exchange(descriptor_, -1); }

int File::close() {
    if (descriptor_ < 0) return 0;
    return ::close(release());
}

File open_file(const std::filesystem::path& path, int flags, mode_t mode) {
    int descriptor;
    do descriptor = ::open(path.c_str(), flags, mode);
    while (descriptor < 0 && errno == EINTR);
    return File(descriptor);
}

File open_trusted(const std::filesystem::path& path, const Trust& trust, std::uint64_t limit, struct stat& status,
                  FileContent& problem) {
    // O_NONBLOCK: opening a pipe must not wait for its writer.
    File file = open_file(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (!file || ::fstat(file.get(), &status) != 0) {
        problem.error = errno;
        const bool absent = !file && (errno == ENOENT || errno == ENOTDIR);
        problem.problem = absent ? ReadProblem::absent : errno == ELOOP ? ReadProblem::untrusted : ReadProblem::unreadable;
        return File();
    }
    const bool fits = status.st_size >= 0 && static_cast<std::uint64_t>(status.st_size) <= limit;
    if (S_ISREG(status.st_mode) && fits && trust.accepts(status)) return file;
    problem.problem = ReadProblem::untrusted;
    return File();
}

bool read_at(int descriptor, std::uint64_t offset, std::vector<std::uint8_t>& bytes) {
    return transfer_all(bytes, [&](std::uint8_t* data, std::size_t size, std::size_t done) {
        return ::pread(descriptor, data, size, static_cast<off_t>(offset + done));
    });
}

FileContent read_file(const std::filesystem::path& path, const Trust& trust, std::uint64_t limit, bool refresh) {
    FileContent content;
    for (int attempt = 0; attempt < 2; ++attempt) {
        content = {};
        struct stat status;
        const File file = open_trusted(path, trust, limit, status, content);
        if (file) {
            content.bytes.resize(static_cast<std::size_t>(status.st_size));
            if (read_at(file.get(), 0, content.bytes)) {
                if (refresh) mark_as_used(file.get(), status);
                return content;
            }
            content = {ReadProblem::unreadable, errno, {}};
        }
        if (content.error != ESTALE) break;
    }
    return content;
}

int make_directory(const std::filesystem::path& path, const Trust& trust) {
    int error = create_directory(path, trust.directory_mode());
    if (error == ENOENT && path.has_parent_path() && path.parent_path() != path) {
        error = make_directory(path.parent_path(), trust);
        // A parent that is there belongs to whom it belongs; what counts is the directory itself.
        if (error == 0 || error == EPERM) error = create_directory(path, trust.directory_mode());
    }
    if (error != EEXIST) return error;
    struct stat status;
    if (::stat(path.c_str(), &status) != 0) return errno;
    if (!S_ISDIR(status.st_mode)) return ENOTDIR;
    return trust.accepts(status) ? 0 : EPERM;
}

std::optional<Temporary> write_temporary(const std::filesystem::path& directory, const std::vector<std::uint8_t>& bytes,
                                         const Trust& trust, int& error) {
    constexpr int attempts = 4;  // each of which a cleaner would have to win
    for (int attempt = 0; attempt < attempts; ++attempt) {
        Temporary temporary;
        temporary.path = directory / random_name();
        temporary.file = open_file(temporary.path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (!temporary.file) {
            error = errno;
            return std::nullopt;
        }
        if (!mark_as_alive(temporary.file.get())) continue;
        struct stat status{};
        if (write_whole(temporary.file.get(), bytes, trust) && ::fstat(temporary.file.get(), &status) == 0) {
            temporary.written_at = status.st_mtime;
            return temporary;
        }
        error = errno ? errno : EIO;
        ::unlink(temporary.path.c_str());
        return std::nullopt;
    }
    error = EAGAIN;
    return std::nullopt;
}

int publish_file(Temporary temporary, const std::filesystem::path& final, bool replace) {
    int error = 0;
    if (replace)
        error = ::rename(temporary.path.c_str(), final.c_str()) == 0 ? 0 : errno;
    else
        error = link_file(temporary, final.c_str());
    ::unlink(temporary.path.c_str());
    // Reported after the fact by some network file systems; readers see the checksum.
    if (temporary.file.close() != 0 && error == 0) error = errno;
    return error;
}

std::vector<std::string> names_in(const std::filesystem::path& directory) {
    std::vector<std::string> names;
    const std::unique_ptr<DIR, int (*)(DIR*)> stream(::opendir(directory.c_str()), &::closedir);
    while (stream) {
        const dirent* const entry = ::readdir(stream.get());
        if (!entry) break;
        const std::string name = entry->d_name;
        if (name != "." && name != "..") names.push_back(name);
    }
    std::sort(names.begin(), names.end());
    return names;
}

}  // namespace flashtp
