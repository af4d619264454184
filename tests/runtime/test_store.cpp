// The cache on disk: what it accepts, what it refuses, and that none of it is an error of a kernel.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <thread>

#include <doctest/doctest.h>

#include "ir/error.hpp"
#include "runtime/entry.hpp"
#include "runtime/store.hpp"
#include "tests/runtime/temporary_directory.hpp"

using namespace flashtp;
using namespace flashtp::test;
namespace fs = std::filesystem;

namespace {

Artifact sample_artifact(std::uint8_t fill = 7, std::size_t bytes = 1000) {
    Artifact artifact;
    artifact.kernel_name = "kernel";
    artifact.target = "sm_90a";
    artifact.code.assign(bytes, fill);
    artifact.registers = 42;
    artifact.spill_bytes = 8;
    artifact.shared_bytes = 4096;
    artifact.log = "a warning";
    return artifact;
}

Key sample_key(const std::string& value = "1") { return Key().add("test", value); }

struct Warnings {
    std::vector<std::string> messages;
    Log log{[this](LogLevel, std::string_view message) { messages.emplace_back(message); }};
};

mode_t mode_of(const fs::path& path) {
    struct stat status{};
    CHECK(::stat(path.c_str(), &status) == 0);
    return status.st_mode & 07777;
}

}  // namespace

TEST_CASE("what was saved is loaded, by another store as well") {
    const TemporaryDirectory directory;
    Log log;
    ArtifactStore store(directory.path(), log);
    CHECK_FALSE(store.load(sample_key()));
    CHECK(store.save(sample_key(), sample_artifact()));
    const auto loaded = ArtifactStore(directory.path(), log).load(sample_key());
    REQUIRE(loaded);
    const Artifact expected = sample_artifact();
    CHECK(loaded->code == expected.code);
    CHECK(loaded->kernel_name == expected.kernel_name);
    CHECK(loaded->target == expected.target);
    CHECK(loaded->registers == expected.registers);
    CHECK(loaded->spill_bytes == expected.spill_bytes);
    CHECK(loaded->shared_bytes == expected.shared_bytes);
    CHECK(loaded->log == expected.log);
    CHECK_FALSE(store.load(sample_key("2")));
}

TEST_CASE("files are private and nothing temporary stays") {
    const TemporaryDirectory directory;
    Log log;
    const fs::path root = directory.path() / "a" / "cache";
    ArtifactStore store(root, log);
    CHECK(store.save(sample_key(), sample_artifact()));
    const fs::path file = store.path_of(sample_key());
    CHECK(mode_of(file) == 0600);
    CHECK(mode_of(root) == 0700);
    CHECK(mode_of(file.parent_path()) == 0700);
    CHECK(fs::is_empty(root / "tmp"));
}

TEST_CASE("the same key and artifact give the same bytes; compile time is no part of them") {
    Artifact artifact = sample_artifact();
    const auto before = to_bytes({"key", artifact});
    artifact.seconds = 3;
    CHECK(to_bytes({"key", artifact}) == before);
}

TEST_CASE("every truncation and every flipped bit of an entry is refused") {
    const auto good = to_bytes({"key text", sample_artifact(7, 100)});
    CHECK(parse_entry(good).key_text == "key text");
    for (std::size_t size = 0; size < good.size(); ++size) {
        CHECK_THROWS_AS(parse_entry(std::span(good).first(size)), UserError);
    }
    for (std::size_t bit = 0; bit < 8 * good.size(); ++bit) {
        auto bad = good;
        bad[bit / 8] = static_cast<std::uint8_t>(bad[bit / 8] ^ (1u << (bit % 8)));
        CHECK_THROWS_AS(parse_entry(bad), UserError);
    }
    auto longer = good;
    longer.push_back(0);
    CHECK_THROWS_AS(parse_entry(longer), UserError);
}

TEST_CASE("a bad file is a miss, is reported once and is replaced by the next save") {
    const TemporaryDirectory directory;
    Warnings warnings;
    ArtifactStore store(directory.path(), warnings.log);
    CHECK(store.save(sample_key(), sample_artifact()));
    const fs::path file = store.path_of(sample_key());
    write_text(file, read_text(file).substr(0, 500));
    CHECK_FALSE(store.load(sample_key()));
    CHECK_FALSE(store.load(sample_key()));
    CHECK(store.counts().rejected == 2);
    CHECK(warnings.messages.size() == 1);
    CHECK(store.list().size() == 1);
    CHECK(store.list()[0].problem != "");
    CHECK(store.save(sample_key(), sample_artifact()));
    CHECK(store.load(sample_key()));
    CHECK(store.list()[0].problem == "");
}

TEST_CASE("an entry of another key under this name is refused") {
    const TemporaryDirectory directory;
    Log log;
    ArtifactStore store(directory.path(), log);
    CHECK(store.save(sample_key(), sample_artifact()));
    const auto other = to_bytes({sample_key("2").text(), sample_artifact()});
    write_text(store.path_of(sample_key()), {other.begin(), other.end()});
    CHECK_FALSE(store.load(sample_key()));
    CHECK(store.list()[0].problem == "its name is not the SHA-256 of its key");
}

TEST_CASE("what is no regular private file is refused without being followed or waited for") {
    const TemporaryDirectory directory;
    Log log;
    ArtifactStore store(directory.path() / "cache", log);
    CHECK(store.save(sample_key(), sample_artifact()));
    const fs::path file = store.path_of(sample_key()), elsewhere = directory.path() / "elsewhere";
    fs::rename(file, elsewhere);

    fs::create_symlink(elsewhere, file);
    CHECK_FALSE(store.load(sample_key()));
    fs::remove(file);
    CHECK(::mkfifo(file.c_str(), 0600) == 0);
    CHECK_FALSE(store.load(sample_key()));
    fs::remove(file);
    fs::create_directory(file);
    CHECK_FALSE(store.load(sample_key()));
    fs::remove(file);
    fs::copy_file(elsewhere, file);
    ::chmod(file.c_str(), 0622);
    CHECK_FALSE(store.load(sample_key()));
    ::chmod(file.c_str(), 0600);
    CHECK(store.load(sample_key()));
}

TEST_CASE("a sparse file of a terabyte is refused at once") {
    const TemporaryDirectory directory;
    Log log;
    ArtifactStore store(directory.path(), log);
    CHECK(store.save(sample_key(), sample_artifact()));
    if (::truncate(store.path_of(sample_key()).c_str(), off_t{1} << 40) == 0) CHECK_FALSE(store.load(sample_key()));
}

TEST_CASE("a directory that cannot be written fails no kernel") {
    const TemporaryDirectory directory;
    Warnings warnings;
    write_text(directory.path() / "file", "");
    ArtifactStore store(directory.path() / "file" / "cache", warnings.log);
    CHECK_FALSE(store.load(sample_key()));
    CHECK_FALSE(store.save(sample_key(), sample_artifact()));
    CHECK_FALSE(store.save(sample_key("2"), sample_artifact()));
    CHECK(store.counts().store_failures == 2);
    CHECK(warnings.messages.size() == 1);
    CHECK(store.list().empty());
}

TEST_CASE("no directory means no disk; a relative one is refused") {
    Log log;
    ArtifactStore store("", log);
    CHECK_FALSE(store.save(sample_key(), sample_artifact()));
    CHECK_FALSE(store.load(sample_key()));
    CHECK(store.list().empty());
    CHECK_THROWS_AS(ArtifactStore("cache", log), UserError);
}

TEST_CASE("threads that save and load one key never see half of it") {
    const TemporaryDirectory directory;
    Log log;
    ArtifactStore store(directory.path(), log);
    const Artifact artifact = sample_artifact(9, 200'000);
    std::atomic<int> wrong{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < 8; ++t) {
        threads.emplace_back([&] {
            for (int i = 0; i < 20; ++i) {
                const Key key = sample_key(std::to_string(i));
                const auto loaded = store.load(key);
                if (loaded ? loaded->code != artifact.code : !store.save(key, artifact)) ++wrong;
            }
        });
    }
    for (std::thread& thread : threads) thread.join();
    CHECK(wrong == 0);
    CHECK(store.counts().rejected == 0);
    CHECK(store.list().size() == 20);
}

TEST_CASE("processes killed while they write leave no bad entry") {
    const TemporaryDirectory directory;
    Log log;
    const Artifact artifact = sample_artifact(9, 2'000'000);
    for (int round = 0; round < 20; ++round) {
        const pid_t child = ::fork();
        if (child == 0) {
            ArtifactStore store(directory.path(), log);
            for (int i = 0; i < 1000; ++i) store.save(sample_key(std::to_string(round) + " " + std::to_string(i)), artifact);
            ::_exit(0);
        }
        ::usleep(static_cast<useconds_t>(1000 * (round % 7)));
        ::kill(child, SIGKILL);
        ::waitpid(child, nullptr, 0);
    }
    for (const StoredFile& file : ArtifactStore(directory.path(), log).list()) CHECK(file.problem == "");
}
