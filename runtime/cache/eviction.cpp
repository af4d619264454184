#include "runtime/cache/eviction.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <tuple>

namespace flashtp {
namespace {

constexpr std::int64_t young_seconds = 3600, interval_seconds = 60, abandoned_seconds = 24 * 3600;
constexpr int patience_ms = 1000, pause_ms = 5;
constexpr std::uint64_t shards = 256;
/// With caps below these a subdirectory's share says nothing about the whole, and looking at everything costs little.
constexpr CacheCaps small{.bytes = 256u << 20, .files = 2048};

struct Candidate {
    std::string name;
    struct stat status;
};

/// By the file system's clock: 0 is now, or later than now.
std::int64_t age(const struct stat& status, std::int64_t now) { return std::max<std::int64_t>(0, now - status.st_mtime); }

std::vector<Candidate> candidates_of(const CacheDirectory& directory) {
    std::vector<Candidate> candidates;
    for (std::string& name : directory.names()) {
        Candidate candidate{std::move(name), {}};
        if (::lstat(directory.path_of(candidate.name).c_str(), &candidate.status) == 0)
            candidates.push_back(std::move(candidate));
    }
    return candidates;
}

bool unchanged(const struct stat& a, const struct stat& b) {
    return a.st_ino == b.st_ino && a.st_size == b.st_size && a.st_mtim.tv_sec == b.st_mtim.tv_sec &&
           a.st_mtim.tv_nsec == b.st_mtim.tv_nsec;
}

bool evict(const CacheDirectory& directory, const Candidate& candidate) {
    struct stat now;
    if (::lstat(directory.path_of(candidate.name).c_str(), &now) != 0) return errno == ENOENT;
    return unchanged(candidate.status, now) && directory.remove(candidate.name);
}

/// Whether nobody writes the file any more. Where locks do not work, only time tells.
bool is_abandoned(const std::filesystem::path& path, std::int64_t now) {
    struct stat status;
    const File file = open_file(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (!file || ::fstat(file.get(), &status) != 0) return false;
    if (::flock(file.get(), LOCK_EX | LOCK_NB) == 0) return ::unlink(path.c_str()) == 0;
    if (errno == EWOULDBLOCK) return false;
    return now - status.st_mtime > abandoned_seconds && ::unlink(path.c_str()) == 0;
}

std::int64_t remove_temporaries(const CacheDirectory& directory, std::int64_t now) {
    std::int64_t removed = 0;
    const std::filesystem::path place = directory.temporary_directory();
    for (const std::string& name : names_in(place)) removed += is_abandoned(place / name, now);
    return removed;
}

/// The lock of collectors; its time is when the last one ran, by the clock of the file system.
std::filesystem::path stamp_of(const CacheDirectory& directory) { return directory.path() / "collected"; }

struct Turn {
    File stamp;
    bool busy = false;
    std::int64_t now = ::time(nullptr);
};

Turn take_turn(const CacheDirectory& directory) {
    Turn turn;
    turn.stamp = open_file(stamp_of(directory), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (!turn.stamp) return turn;
    // Who stores faster than one process can remove has to wait for it, but not for one that hangs.
    for (int attempt = 0; attempt < patience_ms / pause_ms; ++attempt) {
        turn.busy = ::flock(turn.stamp.get(), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
        if (!turn.busy) break;
        ::usleep(1000 * pause_ms);
    }
    struct stat status;
    if (!turn.busy && ::futimens(turn.stamp.get(), nullptr) == 0 && ::fstat(turn.stamp.get(), &status) == 0) {
        turn.now = status.st_mtime;
    }
    return turn;
}

struct Total {
    std::uint64_t bytes = 0, files = 0;
    bool above(const CacheCaps& caps, std::uint64_t percent) const {
        return bytes > caps.bytes / 100 * percent || files > caps.files * percent / 100;
    }
};

Total total_of(const std::vector<Candidate>& candidates) {
    Total total;
    for (const Candidate& c : candidates) {
        total.bytes += static_cast<std::uint64_t>(c.status.st_size);
        ++total.files;
    }
    return total;
}

void evict_oldest(const CacheDirectory& directory, const CacheCaps& caps, std::vector<Candidate> candidates, std::int64_t now,
                  CollectReport& report) {
    Total total = total_of(candidates);
    const bool over = total.above(caps, 100);
    // Of those used now, the ones that only claim to be go first.
    std::ranges::sort(candidates, {}, [&](const Candidate& c) {
        const bool real = c.status.st_mtime <= now;
        return std::tuple(-age(c.status, now), real, c.status.st_mtim.tv_nsec);
    });
    for (const Candidate& candidate : candidates) {
        const bool young = age(candidate.status, now) < young_seconds;
        if (!over || !total.above(caps, young ? 100 : 80)) break;
        if (!evict(directory, candidate)) continue;
        ++report.evicted;
        report.evicted_bytes += candidate.status.st_size;
        total.bytes -= static_cast<std::uint64_t>(candidate.status.st_size);
        --total.files;
    }
    report.entries = static_cast<std::int64_t>(total.files);
    report.bytes = static_cast<std::int64_t>(total.bytes);
}

}  // namespace

CollectReport collect(const CacheDirectory& directory, const CacheCaps& caps) {
    CollectReport report;
    const Turn turn = take_turn(directory);
    report.busy = turn.busy;
    if (turn.busy) return report;
    report.temporaries = remove_temporaries(directory, turn.now);
    evict_oldest(directory, caps, candidates_of(directory), turn.now, report);
    return report;
}

bool collection_is_due(const CacheDirectory& directory, const CacheCaps& caps, const std::string& name, std::int64_t now) {
    struct stat stamp;
    if (caps.bytes < small.bytes || caps.files < small.files) return true;
    if (::stat(stamp_of(directory).c_str(), &stamp) != 0) return true;
    if (now < stamp.st_mtime || now - stamp.st_mtime >= interval_seconds) return true;
    Total shard;
    const std::filesystem::path place = directory.path_of(name).parent_path();
    for (const std::string& other : names_in(place)) {
        struct stat status;
        if (::lstat((place / other).c_str(), &status) != 0) continue;
        shard.bytes += static_cast<std::uint64_t>(status.st_size);
        ++shard.files;
    }
    return shard.above({caps.bytes / shards, std::max<std::uint64_t>(1, caps.files / shards)}, 125);
}

CollectReport clear(const CacheDirectory& directory) {
    CollectReport report;
    for (const Candidate& candidate : candidates_of(directory)) {
        if (!directory.remove(candidate.name)) {
            ++report.entries;
            continue;
        }
        ++report.evicted;
        report.evicted_bytes += candidate.status.st_size;
    }
    report.temporaries = remove_temporaries(directory, ::time(nullptr));
    return report;
}

}  // namespace flashtp
