// Whose files are believed, and where files are written.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <iostream>

#include <doctest/doctest.h>

#include "ir/error.hpp"
#include "runtime/options.hpp"
#include "tests/runtime/cache/sample_entry.hpp"
#include "tests/runtime/temporary_directory.hpp"

using namespace flashtp;
using namespace flashtp::test;
namespace fs = std::filesystem;

namespace {

constexpr uid_t somebody = 65534;

bool is_root() {
    if (::geteuid() == 0) return true;
    std::cout << "SKIPPED: giving files to another user needs root" << std::endl;
    return false;
}

mode_t bits_of(const fs::path& path) {
    struct stat status{};
    CHECK(::stat(path.c_str(), &status) == 0);
    return status.st_mode & 07777;
}

/// Runs the body in a child, whose umask and user may then be anything. Whether it returned true.
template <class Body>
bool in_child(Body body) {
    const pid_t child = ::fork();
    if (child == 0) ::_exit(body() ? 0 : 1);
    int status = 1;
    ::waitpid(child, &status, 0);
    return status == 0;
}

}  // namespace

TEST_CASE("S1: a directory that others may write, or that belongs to somebody else, is not used") {
    const TemporaryDirectory directory;
    const fs::path root = directory.path() / "cache";
    Log log;
    CHECK(ArtifactStore(in(root), log).save(sample_key(), sample_artifact()));
    for (const mode_t mode : {0770u, 0707u, 01777u}) {
        ::chmod(root.c_str(), mode);
        Warnings warnings;
        ArtifactStore store(in(root), warnings.log);
        CHECK_FALSE(store.load(sample_key()));
        CHECK_FALSE(store.save(sample_key("2"), sample_artifact()));
        CHECK(warnings.messages.size() == 1);
    }
    ::chmod(root.c_str(), 0700);
    CHECK(ArtifactStore(in(root), log).load(sample_key()));
    if (!is_root()) return;
    REQUIRE(::chown(root.c_str(), somebody, somebody) == 0);
    CHECK_FALSE(ArtifactStore(in(root), log).load(sample_key()));
    StoreOptions trusting = in(root);
    trusting.trust.owners = {somebody};
    CHECK(ArtifactStore(trusting, log).load(sample_key()));
}

TEST_CASE("S1: entries of other users are believed only where they are named") {
    const TemporaryDirectory directory;
    Log log;
    ArtifactStore store(in(directory.path()), log);
    CHECK(store.save(sample_key(), sample_artifact()));
    if (!is_root()) return;
    REQUIRE(::chown(store.path_of(sample_key()).c_str(), somebody, somebody) == 0);
    CHECK_FALSE(store.load(sample_key()));
    CHECK(store.counts().rejects[static_cast<std::size_t>(Reject::untrusted)] == 1);
    StoreOptions trusting = in(directory.path());
    trusting.trust.owners = {1, somebody};
    CHECK(ArtifactStore(trusting, log).load(sample_key()));
}

TEST_CASE("S2: links planted anywhere in the cache lead nowhere") {
    const TemporaryDirectory directory;
    const fs::path victim = directory.path() / "victim", outside = directory.path() / "outside";
    const auto planted = [&](const char* where, auto plant) {
        CAPTURE(where);
        const fs::path root = directory.path() / where;
        Log log;
        ArtifactStore store(in(root), log);
        CHECK(store.save(sample_key("first"), sample_artifact()));
        write_text(victim, "precious");
        fs::create_directories(outside);
        plant(root, store.path_of(sample_key()));
        const std::size_t before = static_cast<std::size_t>(std::distance(fs::directory_iterator(outside), {}));
        CHECK_FALSE(store.load(sample_key()));
        store.save(sample_key(), sample_artifact());
        store.collect();
        CHECK(read_text(victim) == "precious");
        CHECK(static_cast<std::size_t>(std::distance(fs::directory_iterator(outside), {})) == before);
    };
    planted("entry", [&](const fs::path&, const fs::path& entry) {
        fs::create_directories(entry.parent_path());
        fs::create_symlink(victim, entry);
    });
    planted("hard", [&](const fs::path&, const fs::path& entry) {
        fs::create_directories(entry.parent_path());
        fs::create_hard_link(victim, entry);
    });
    planted("stamp", [&](const fs::path& root, const fs::path&) {
        fs::remove(root / "collected");
        fs::create_symlink(victim, root / "collected");
    });
    planted("temporary",
            [&](const fs::path& root, const fs::path&) { fs::create_symlink(victim, root / "tmp" / std::string(32, 'a')); });
    // CVE-2025-68146: a lock file that is a link must not empty what it points to.
    write_text(victim, "precious");
    const fs::path locks = directory.path() / "locks";
    fs::create_directory(locks);
    fs::create_symlink(victim, locks / "ab.lock");
    const WorkLock lock(locks, "ab", std::chrono::duration<double>(1), [] { return false; });
    CHECK(lock.outcome() == WorkLock::Outcome::unavailable);
    CHECK(read_text(victim) == "precious");
}

TEST_CASE("S3: modes do not depend on the umask, which is not changed") {
    const TemporaryDirectory directory;
    const auto check = [&](mode_t mask, bool group, mode_t directories, mode_t files) {
        CAPTURE(mask);
        const fs::path root = directory.path() / std::to_string(mask) / (group ? "group" : "own");
        const bool right = in_child([&] {
            ::umask(mask);
            Log log;
            StoreOptions options = in(root);
            options.trust.group = group;
            ArtifactStore store(options, log);
            const bool saved = store.save(sample_key(), sample_artifact());
            return saved && ::umask(0) == mask;
        });
        CHECK(right);
        Log log;
        const fs::path entry = ArtifactStore(in(root), log).path_of(sample_key());
        CHECK(bits_of(entry) == files);
        CHECK(bits_of(root) == directories);
        CHECK(bits_of(entry.parent_path()) == directories);
    };
    check(0000, false, 0700, 0600);
    check(0077, true, 02770, 0640);
    check(0777, false, 0700, 0600);
}

TEST_CASE("S5: relative paths are refused, wherever they come from") {
    Log log;
    CHECK_THROWS_AS(ArtifactStore(in("cache"), log), UserError);
    CHECK_THROWS_AS(ArtifactStore({.read_only = {"kernels.pack"}}, log), UserError);
    CHECK_THROWS_AS(parse_cache_path("/a:b"), UserError);
    CHECK(parse_cache_path("/a::/b:") == std::vector<fs::path>{"/a", "/b"});
}

TEST_CASE("C9: without a home the cache is in memory, and nothing is said") {
    const bool right = in_child([] {
        for (const char* name : {"HOME", "XDG_CACHE_HOME", "FLASHTP_CACHE_DIR"}) ::unsetenv(name);
        if (::geteuid() == 0 && ::setuid(54321) != 0) return false;  // a user that no password file knows
        if (::geteuid() == 54321 && !default_cache_directory().empty()) return false;
        ::setenv("HOME", "/nonexistent", 1);
        Warnings warnings;
        ArtifactStore store({.directory = default_cache_directory()}, warnings.log);
        store.save(sample_key(), sample_artifact());
        return warnings.messages.size() <= 1;
    });
    CHECK(right);
}
