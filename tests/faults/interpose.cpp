#include "tests/faults/interpose.hpp"

#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdarg>
#include <mutex>
#include <set>

namespace {

using flashtp::test::Fault;

struct Watch {
    Fault fault;
    int seen = 0;
    bool struck = false, hide = false;
    std::vector<std::string> calls;
    std::set<std::string> hidden;
    std::function<void(const std::string&)> before;
};
thread_local Watch* watch = nullptr;
thread_local bool inside = false;  ///< what the watcher itself calls is not watched

std::mutex environment_mutex;
std::set<std::string>* environment_names = nullptr;

/// Notes the call and says whether it is to fail.
bool strikes(const char* call, const char* path) {
    inside = true;
    watch->calls.push_back(path ? std::string(call) + " " + path : call);
    if (watch->before) watch->before(call);
    bool now = false;
    if (watch->fault.call == call) {
        ++watch->seen;
        now = watch->seen == watch->fault.nth || (watch->fault.persistent && watch->seen > watch->fault.nth);
        watch->struck |= now;
    }
    inside = false;
    return now;
}

bool is_hidden(const char* path) { return watch && !inside && watch->hidden.contains(path); }

void note_published(const char* path) {
    if (watch && !inside && watch->hide) watch->hidden.insert(path);
}

/// Runs a call that reports failure as -1 and errno.
template <class Perform>
auto run(const char* call, const char* path, Perform perform) -> decltype(perform()) {
    if (!watch || inside) return perform();
    if (path && is_hidden(path)) {
        errno = ENOENT;
        return -1;
    }
    if (!strikes(call, path)) return perform();
    if (watch->fault.performed) perform();
    errno = watch->fault.error;
    return -1;
}

}  // namespace

extern "C" {

int open(const char* path, int flags, ...) {
    static const auto next = reinterpret_cast<int (*)(const char*, int, mode_t)>(dlsym(RTLD_NEXT, "open"));
    va_list arguments;
    va_start(arguments, flags);
    const mode_t mode = (flags & O_CREAT) ? va_arg(arguments, mode_t) : 0;
    va_end(arguments);
    return run((flags & O_ACCMODE) == O_RDONLY ? "open" : "open_for_writing", path, [&] { return next(path, flags, mode); });
}
ssize_t read(int file, void* to, size_t size) {
    static const auto next = reinterpret_cast<ssize_t (*)(int, void*, size_t)>(dlsym(RTLD_NEXT, "read"));
    return run("read", nullptr, [&] { return next(file, to, size); });
}
ssize_t pread(int file, void* to, size_t size, off_t at) {
    static const auto next = reinterpret_cast<ssize_t (*)(int, void*, size_t, off_t)>(dlsym(RTLD_NEXT, "pread"));
    return run("pread", nullptr, [&] { return next(file, to, size, at); });
}
ssize_t write(int file, const void* from, size_t size) {
    static const auto next = reinterpret_cast<ssize_t (*)(int, const void*, size_t)>(dlsym(RTLD_NEXT, "write"));
    return run("write", nullptr, [&] { return next(file, from, size); });
}
int posix_fallocate(int file, off_t at, off_t size) {
    static const auto next = reinterpret_cast<int (*)(int, off_t, off_t)>(dlsym(RTLD_NEXT, "posix_fallocate"));
    const int result = run("posix_fallocate", nullptr, [&] { return next(file, at, size); });
    return result == -1 ? errno : result;
}
int fsync(int file) {
    static const auto next = reinterpret_cast<int (*)(int)>(dlsym(RTLD_NEXT, "fsync"));
    return run("fsync", nullptr, [&] { return next(file); });
}
int close(int file) {
    static const auto next = reinterpret_cast<int (*)(int)>(dlsym(RTLD_NEXT, "close"));
    // The descriptor is closed whatever close says.
    if (watch && !inside && strikes("close", nullptr)) {
        next(file);
        errno = watch->fault.error;
        return -1;
    }
    return next(file);
}
int link(const char* from, const char* to) noexcept {
    static const auto next = reinterpret_cast<int (*)(const char*, const char*)>(dlsym(RTLD_NEXT, "link"));
    const int result = run("link", nullptr, [&] { return next(from, to); });
    const int error = errno;
    note_published(to);
    errno = error;
    return result;
}
int rename(const char* from, const char* to) noexcept {
    static const auto next = reinterpret_cast<int (*)(const char*, const char*)>(dlsym(RTLD_NEXT, "rename"));
    const int result = run("rename", nullptr, [&] { return next(from, to); });
    note_published(to);
    return result;
}
int unlink(const char* path) noexcept {
    static const auto next = reinterpret_cast<int (*)(const char*)>(dlsym(RTLD_NEXT, "unlink"));
    return run("unlink", path, [&] { return next(path); });
}
int mkdir(const char* path, mode_t mode) noexcept {
    static const auto next = reinterpret_cast<int (*)(const char*, mode_t)>(dlsym(RTLD_NEXT, "mkdir"));
    return run("mkdir", path, [&] { return next(path, mode); });
}
int fchmod(int file, mode_t mode) noexcept {
    static const auto next = reinterpret_cast<int (*)(int, mode_t)>(dlsym(RTLD_NEXT, "fchmod"));
    return run("fchmod", nullptr, [&] { return next(file, mode); });
}
int fstat(int file, struct stat* status) noexcept {
    static const auto next = reinterpret_cast<int (*)(int, struct stat*)>(dlsym(RTLD_NEXT, "fstat"));
    return run("fstat", nullptr, [&] { return next(file, status); });
}
int stat(const char* path, struct stat* status) noexcept {
    static const auto next = reinterpret_cast<int (*)(const char*, struct stat*)>(dlsym(RTLD_NEXT, "stat"));
    return run("stat", path, [&] { return next(path, status); });
}
int lstat(const char* path, struct stat* status) noexcept {
    static const auto next = reinterpret_cast<int (*)(const char*, struct stat*)>(dlsym(RTLD_NEXT, "lstat"));
    return run("lstat", path, [&] { return next(path, status); });
}
int access(const char* path, int mode) noexcept {
    static const auto next = reinterpret_cast<int (*)(const char*, int)>(dlsym(RTLD_NEXT, "access"));
    return run("access", path, [&] { return next(path, mode); });
}
int flock(int file, int operation) noexcept {
    static const auto next = reinterpret_cast<int (*)(int, int)>(dlsym(RTLD_NEXT, "flock"));
    return run("flock", nullptr, [&] { return next(file, operation); });
}
int futimens(int file, const struct timespec times[2]) noexcept {
    static const auto next = reinterpret_cast<int (*)(int, const timespec*)>(dlsym(RTLD_NEXT, "futimens"));
    return run("futimens", nullptr, [&] { return next(file, times); });
}
struct dirent* readdir(DIR* directory) {
    static const auto next = reinterpret_cast<dirent* (*)(DIR*)>(dlsym(RTLD_NEXT, "readdir"));
    if (watch && !inside && strikes("readdir", nullptr)) {
        errno = watch->fault.error;
        return nullptr;
    }
    return next(directory);
}
void* mmap(void* address, size_t size, int protection, int flags, int file, off_t at) noexcept {
    static const auto next = reinterpret_cast<void* (*)(void*, size_t, int, int, int, off_t)>(dlsym(RTLD_NEXT, "mmap"));
    if (watch && !inside && file >= 0) strikes("mmap_file", nullptr);
    return next(address, size, protection, flags, file, at);
}
char* getenv(const char* name) noexcept {
    static const auto next = reinterpret_cast<char* (*)(const char*)>(dlsym(RTLD_NEXT, "getenv"));
    if (environment_names && !inside) {
        const std::lock_guard lock(environment_mutex);
        environment_names->insert(name);
    }
    return next(name);
}
char* secure_getenv(const char* name) noexcept { return getenv(name); }

}  // extern "C"

namespace flashtp::test {

Interposed::Interposed(Fault fault) {
    inside = true;
    watch = new Watch;
    watch->fault = std::move(fault);
    inside = false;
}
Interposed::~Interposed() {
    delete watch;
    watch = nullptr;
}
const std::vector<std::string>& Interposed::calls() const { return watch->calls; }
int Interposed::count(const std::string& call) const {
    int count = 0;
    for (const std::string& seen : watch->calls) count += seen == call || seen.starts_with(call + " ");
    return count;
}
bool Interposed::struck() const { return watch->struck; }
void Interposed::before_each(std::function<void(const std::string&)> before) { watch->before = std::move(before); }
void Interposed::hide_published() { watch->hide = true; }

std::vector<std::string> take_environment_names() {
    const std::lock_guard lock(environment_mutex);
    static std::set<std::string> names;
    std::vector<std::string> taken(names.begin(), names.end());
    names.clear();
    environment_names = &names;
    return taken;
}

const std::vector<std::string>& interposed_calls() {
    static const std::vector<std::string> calls = {
        "open",  "open_for_writing", "pread", "write", "posix_fallocate", "fsync",  "close", "link",     "rename", "unlink",
        "mkdir", "fchmod",           "fstat", "stat",  "lstat",           "access", "flock", "futimens", "readdir"};
    return calls;
}

}  // namespace flashtp::test
