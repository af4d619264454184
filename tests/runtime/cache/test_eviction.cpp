// What is removed from a cache, when, and by whose clock.
#include <fcntl.h>
#include <sched.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <ctime>
#include <iostream>

#include <doctest/doctest.h>

#include "tests/runtime/cache/sample_entry.hpp"
#include "tests/runtime/temporary_directory.hpp"

using namespace flashtp;
using namespace flashtp::test;
namespace fs = std::filesystem;

namespace {

void set_time(const fs::path& path, std::int64_t seconds) {
    const timespec times[2] = {{seconds, 0}, {seconds, 0}};
    CHECK(::utimensat(AT_FDCWD, path.c_str(), times, 0) == 0);
}

void fill(ArtifactStore& store, int entries) {
    for (int i = 0; i < entries; ++i) CHECK(store.save(sample_key(std::to_string(i)), sample_artifact()));
}

StoreOptions capped(const fs::path& directory, std::uint64_t files) {
    StoreOptions options = in(directory);
    options.caps.files = files;
    return options;
}

/// A body in a child with a small file system of its own at `place`. Nothing where this kernel does not allow it.
template <class Body>
std::optional<bool> on_small_disk(const fs::path& place, const char* options, Body body) {
    const pid_t child = ::fork();
    if (child == 0) {
        const bool user = ::geteuid() != 0;
        if (::unshare(CLONE_NEWNS | (user ? CLONE_NEWUSER : 0)) != 0) ::_exit(2);
        if (::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) ::_exit(2);
        if (::mount("none", place.c_str(), "tmpfs", 0, options) != 0) ::_exit(2);
        ::_exit(body() ? 0 : 1);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    if (WEXITSTATUS(status) != 2) return WEXITSTATUS(status) == 0;
    std::cout << "SKIPPED: file systems cannot be mounted here" << std::endl;
    return std::nullopt;
}

}  // namespace

TEST_CASE("the entries unused for longest go first, down to 80 % of the cap") {
    const TemporaryDirectory directory;
    Log log;
    ArtifactStore filled(in(directory.path()), log);
    fill(filled, 20);
    const std::int64_t now = ::time(nullptr);
    for (int i = 0; i < 20; ++i) set_time(filled.path_of(sample_key(std::to_string(i))), now - 100'000 + i);
    ArtifactStore store(capped(directory.path(), 10), log);
    const CollectReport report = store.collect();
    CHECK(report.evicted == 12);
    CHECK(report.entries == 8);
    CHECK_FALSE(store.load(sample_key("11")));
    CHECK(store.load(sample_key("12")));
}

TEST_CASE("entries of the last hour stay while older ones suffice, and go down to the cap") {
    const TemporaryDirectory directory;
    Log log;
    ArtifactStore filled(in(directory.path()), log);
    fill(filled, 20);
    ArtifactStore store(capped(directory.path(), 10), log);
    CHECK(store.collect().evicted == 10);
    CHECK(store.list().size() == 10);
}

TEST_CASE("a hit marks an entry as used, at most once an hour") {
    const TemporaryDirectory directory;
    Log log;
    ArtifactStore store(in(directory.path()), log);
    fill(store, 1);
    const fs::path path = store.path_of(sample_key("0"));
    const auto time_of = [&] {
        struct stat status{};
        ::stat(path.c_str(), &status);
        return status.st_mtime;
    };
    const std::int64_t now = ::time(nullptr);
    for (const std::int64_t hours : {-100'000, -2, 2, 100'000}) {
        set_time(path, now + hours * 3600);
        CHECK(store.load(sample_key("0")));
        CHECK(std::abs(time_of() - now) < 60);
    }
    set_time(path, now - 1800);
    CHECK(store.load(sample_key("0")));
    CHECK(time_of() == now - 1800);
}

TEST_CASE("C13: with any clock no live file goes, nothing stays for ever, and collecting ends") {
    const TemporaryDirectory directory;
    Log log;
    const std::int64_t day = 86400, now = ::time(nullptr);
    for (const std::int64_t time : {std::int64_t{0}, now - 3650 * day, now - day, now + day, now + 3650 * day}) {
        CAPTURE(time - now);
        const fs::path root = directory.path() / std::to_string(time);
        ArtifactStore filled(in(root), log);
        fill(filled, 10);
        // A writer that lives, and one that died.
        const fs::path live = root / "tmp" / "live", dead = root / "tmp" / "dead";
        const File writer = open_file(live, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        CHECK(::flock(writer.get(), LOCK_EX) == 0);
        write_text(dead, "half");
        for (const auto& entry : fs::recursive_directory_iterator(root)) set_time(entry.path(), time);
        ArtifactStore store(capped(root, 4), log);
        CHECK(store.collect().temporaries == 1);
        CHECK(fs::exists(live));
        CHECK_FALSE(fs::exists(dead));
        CHECK(store.list().size() <= 4);
        CHECK(store.save(sample_key("new"), sample_artifact()));
        CHECK(store.load(sample_key("new")));
    }
}

TEST_CASE("collecting comes by itself") {
    const TemporaryDirectory directory;
    Log log;
    ArtifactStore store(capped(directory.path(), 20), log);
    for (int i = 0; i < 200; ++i) store.save(sample_key(std::to_string(i)), sample_artifact());
    CHECK(store.list().size() <= 22);
    CHECK(store.counts().evicted >= 178);
}

TEST_CASE("clear removes every entry and no file that is being written") {
    const TemporaryDirectory directory;
    Log log;
    ArtifactStore store(in(directory.path()), log);
    fill(store, 5);
    const fs::path live = directory.path() / "tmp" / "live";
    const File writer = open_file(live, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    CHECK(::flock(writer.get(), LOCK_EX) == 0);
    CHECK(store.clear().evicted == 5);
    CHECK(store.list().empty());
    CHECK(fs::exists(live));
}

TEST_CASE("C6: a full disk and a full table of inodes cost nothing but the cache, and heal by themselves") {
    const TemporaryDirectory directory;
    for (const char* const options : {"size=256k", "nr_inodes=40"}) {
        CAPTURE(options);
        const auto right = on_small_disk(directory.path(), options, [&] {
            Warnings warnings;
            ArtifactStore store(in(directory.path() / "cache"), warnings.log);
            const auto accept = [](const Artifact&) { return true; };
            const Artifact artifact = sample_artifact(7, 20'000);
            for (int i = 0; i < 40; ++i) {
                const Key key = sample_key(std::to_string(i));
                if (store.obtain(key, accept, [&] { return artifact; }).artifact.code != artifact.code) return false;
            }
            const StoreCounts counts = store.counts();
            if (counts.store_failures == 0 || counts.stored == 0 || warnings.messages.size() > 2) return false;
            for (const StoredFile& file : store.list()) {
                if (!file.problem.empty()) return false;
            }
            // Space comes back: the next run stores, and nobody had to repair anything.
            int removed = 0;
            for (const StoredFile& file : store.list()) removed += removed < 3 && fs::remove(file.path);
            Log log;
            ArtifactStore next(in(directory.path() / "cache"), log);
            return next.save(sample_key("new"), artifact) && next.load(sample_key("new")) &&
                   fs::is_empty(directory.path() / "cache" / "tmp");
        });
        if (right) CHECK(*right);
    }
}
