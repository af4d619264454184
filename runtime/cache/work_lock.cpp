#include "runtime/cache/work_lock.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <thread>

#include <fmt/format.h>

namespace flashtp {

WorkLock::WorkLock(const std::filesystem::path& directory, const std::string& key, std::chrono::duration<double> limit,
                   const std::function<bool()>& done) {
    using Clock = std::chrono::steady_clock;
    if (directory.empty() || limit.count() <= 0) return;
    // A fixed set of files that are never removed: removing one lets two holders in.
    file_ = open_file(directory / (key.substr(0, 2) + ".lock"), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (!file_) return;
    const auto deadline = Clock::now() + limit;
    for (std::chrono::duration<double, std::milli> pause{1};; pause = std::min(pause * 1.5, decltype(pause){20})) {
        if (::flock(file_.get(), LOCK_EX | LOCK_NB) == 0) {
            outcome_ = Outcome::locked;
            return;
        }
        if (errno != EWOULDBLOCK && errno != EINTR) return;
        waited_ = true;
        outcome_ = done() ? Outcome::done_by_another : Outcome::timed_out;
        if (outcome_ == Outcome::done_by_another || Clock::now() >= deadline) return;
        std::this_thread::sleep_for(pause);
    }
}

std::filesystem::path lock_directory() {
    const auto usable = [](const std::filesystem::path& path) {
        struct stat status;
        if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) return false;
        // lstat: in a directory that everybody may write, the name may be somebody's link.
        return ::lstat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode) && status.st_uid == ::geteuid() &&
               (status.st_mode & 0077) == 0;
    };
    if (const char* runtime = ::secure_getenv("XDG_RUNTIME_DIR"); runtime && *runtime == '/') {
        const std::filesystem::path path = std::filesystem::path(runtime) / "flashtp";
        if (usable(path)) return path;
    }
    for (const char* place : {"/dev/shm", "/tmp"}) {
        const std::filesystem::path path = fmt::format("{}/flashtp-locks-{}", place, ::geteuid());
        if (usable(path)) return path;
    }
    return {};
}

}  // namespace flashtp
