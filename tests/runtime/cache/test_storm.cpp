// Many processes on one cache: nobody reads half an entry, waits for ever or compiles what another compiles.
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <algorithm>
#include <chrono>
#include <thread>

#include <doctest/doctest.h>

#include "tests/runtime/cache/sample_entry.hpp"
#include "tests/runtime/cache/storm.hpp"
#include "tests/runtime/temporary_directory.hpp"
#include "tests/support/shared_memory.hpp"

using namespace flashtp;
using namespace flashtp::test;

namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

void check_storm(const StormOptions& options, std::int64_t least_reads) {
    const StormResult result = storm(options);
    MESSAGE(result.reads << " reads, " << result.corrupt << " corrupt, " << result.killed << " killed, " << result.entries
                         << " entries");
    CHECK(result.corrupt == 0);
    CHECK(result.errors == 0);
    CHECK(result.reads >= least_reads);
    CHECK(result.entries <= options.keys);
    CHECK(result.temporaries == 0);
}

void check_control(StormOptions options) {
    options.in_place = true;
    const StormResult result = storm(options);
    MESSAGE("positive control: " << result.corrupt << " corrupt of " << result.reads + result.corrupt << " reads");
    CHECK(result.corrupt > 0);
}

/// What all processes of a round share.
struct Round {
    pthread_barrier_t barrier;
    std::atomic<int> compiled{0}, wrong{0};
    std::atomic<double> compile_end{0}, last_end{0};
    explicit Round(unsigned processes = 0) {
        pthread_barrierattr_t attributes;
        ::pthread_barrierattr_init(&attributes);
        ::pthread_barrierattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
        if (processes > 0) ::pthread_barrier_init(&barrier, &attributes, processes);
    }
};

struct RoundResult {
    int compiled = 0, wrong = 0;
    double wait = 0;  ///< of the last process after the compilation's end, seconds
};

StoreOptions with_locks(const std::filesystem::path& directory, double seconds = 60) {
    StoreOptions options = in(directory);
    options.lock_seconds = seconds;
    return options;
}

/// All processes want one kernel, which takes `compile` to make.
RoundResult one_round(const std::filesystem::path& directory, int processes, std::chrono::milliseconds compile, const Key& key) {
    const SharedMemory<Round> shared;
    new (&*shared) Round(static_cast<unsigned>(processes));
    const auto start = Clock::now();
    for (int i = 0; i < processes; ++i) {
        if (::fork() != 0) continue;
        Log log;
        ArtifactStore store(with_locks(directory), log);
        ::pthread_barrier_wait(&shared->barrier);
        const auto made = store.obtain(
            key, [](const Artifact&) { return true; },
            [&] {
                std::this_thread::sleep_for(compile);
                ++shared->compiled;
                shared->compile_end = seconds_since(start);
                return sample_artifact(3);
            });
        if (made.artifact.code != sample_artifact(3).code) ++shared->wrong;
        shared->last_end = std::max(shared->last_end.load(), seconds_since(start));
        ::_exit(0);
    }
    while (::wait(nullptr) > 0) {
    }
    return {shared->compiled, shared->wrong, shared->last_end - shared->compile_end};
}

void check_rounds(int rounds, int processes) {
    const TemporaryDirectory directory;
    int several = 0;
    double longest = 0;
    for (int round = 0; round < rounds; ++round) {
        const RoundResult result =
            one_round(directory.path(), processes, std::chrono::milliseconds(50), sample_key(std::to_string(round)));
        CHECK(result.compiled >= 1);
        CHECK(result.compiled <= 2);
        CHECK(result.wrong == 0);
        several += result.compiled > 1;
        longest = std::max(longest, result.wait);
    }
    MESSAGE(rounds << " rounds of " << processes << " processes, " << several << " with two compilations, the last process "
                   << longest * 1e3 << " ms after the compilation");
    CHECK(several * 100 <= rounds);
}

}  // namespace

TEST_SUITE_BEGIN("slow cache");

TEST_CASE("C1: a short storm of processes that are killed while they write") {
    const TemporaryDirectory directory;
    check_storm({.directory = directory.path() / "cache", .processes = 16, .seconds = 4}, 1000);
}

TEST_CASE("C1: the storm notices a cache that writes in place") {
    const TemporaryDirectory directory;
    check_control({.directory = directory.path() / "cache", .processes = 16, .seconds = 2});
}

TEST_CASE("C2: of many processes that want a kernel one compiles it") { check_rounds(20, 64); }

TEST_CASE("C15: entries vanish while they are used") {
    const TemporaryDirectory directory;
    check_storm({.directory = directory.path() / "cache", .processes = 16, .seconds = 3, .kill_every_ms = 0, .clear = true}, 100);
}

TEST_SUITE_END();

TEST_SUITE_BEGIN("nightly cache");

TEST_CASE("C1: 64 processes, one killed every 2 ms, an evictor, 60 s") {
    const TemporaryDirectory directory;
    check_storm({.directory = directory.path() / "cache"}, 100'000);
}

TEST_CASE("C1: 64 processes that write in place, 20 s") {
    const TemporaryDirectory directory;
    check_control({.directory = directory.path() / "cache", .seconds = 20});
}

TEST_CASE("C2: 100 rounds of 64 processes") { check_rounds(100, 64); }

TEST_CASE("C15: 16 readers, 4 processes that clear and remove the directory, 60 s") {
    const TemporaryDirectory directory;
    check_storm({.directory = directory.path() / "cache", .processes = 16, .seconds = 60, .kill_every_ms = 0, .clear = true},
                1000);
}

TEST_CASE("C14: a thousand writers of up to 4 MiB stay below a cap of 64 MiB") {
    const TemporaryDirectory directory;
    StoreOptions options = in(directory.path());
    options.caps.bytes = 64u << 20;
    std::uint64_t peak = 0;
    const auto size = [&] {
        std::uint64_t bytes = 0;
        std::error_code none;
        for (std::filesystem::recursive_directory_iterator at(directory.path(), none), end; at != end; at.increment(none)) {
            if (at->is_regular_file(none)) bytes += at->file_size(none);
        }
        return bytes;
    };
    std::atomic<int> next{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
        threads.emplace_back([&] {
            for (int i = next++; i < 1000; i = next++) {
                Log log;
                ArtifactStore(options, log)
                    .save(sample_key(std::to_string(i)), sample_artifact(1, 1024u + static_cast<std::size_t>(i) * 4190));
            }
        });
    }
    while (next < 1000) {
        peak = std::max(peak, size());
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    for (std::thread& thread : threads) thread.join();
    Log log;
    ArtifactStore store(options, log);
    MESSAGE("peak " << peak << ", at rest " << size() << " bytes, " << store.list().size() << " entries");
    CHECK(size() <= options.caps.bytes * 11 / 10);
    CHECK(peak <= options.caps.bytes * 3 / 2);

    options.caps.files = 50;
    ArtifactStore few(options, log);
    for (int i = 0; i < 200; ++i) few.save(sample_key("few " + std::to_string(i)), sample_artifact());
    CHECK(few.list().size() <= 55);
}

TEST_SUITE_END();

TEST_CASE("C3: a process that hangs with the lock delays others for the limit, no longer") {
    const TemporaryDirectory directory;
    const Key key = sample_key();
    const SharedMemory<std::atomic<int>> holding;
    const pid_t holder = ::fork();
    if (holder == 0) {
        Log log;
        ArtifactStore store(with_locks(directory.path()), log);
        store.obtain(
            key, [](const Artifact&) { return true; },
            [&]() -> Artifact {
                *holding = 1;
                ::raise(SIGSTOP);
                return sample_artifact();
            });
        ::_exit(0);
    }
    while (*holding == 0) ::usleep(1000);
    const auto start = Clock::now();
    std::vector<pid_t> waiting;
    for (int i = 0; i < 63; ++i) {
        waiting.push_back(::fork());
        if (waiting.back() != 0) continue;
        Log log;
        ArtifactStore store(with_locks(directory.path(), 0.5), log);
        const auto made = store.obtain(key, [](const Artifact&) { return true; }, [] { return sample_artifact(5); });
        // The first to give up stores its own; the rest find it.
        ::_exit(made.artifact.code == sample_artifact(5).code && (made.cached || store.counts().lock_timeouts == 1) ? 0 : 1);
    }
    for (const pid_t process : waiting) {
        int status = 1;
        ::waitpid(process, &status, 0);
        CHECK(status == 0);
    }
    CHECK(seconds_since(start) < 30);  // 63 limits of half a second one after the other would be more
    ::kill(holder, SIGKILL);
    ::waitpid(holder, nullptr, 0);
}

TEST_CASE("C22: ranks compile or find the kernel, also where one of them cannot use the cache") {
    const TemporaryDirectory directory;
    const auto start = Clock::now();
    std::vector<pid_t> ranks;
    for (int rank = 0; rank < 8; ++rank) {
        ranks.push_back(::fork());
        if (ranks.back() != 0) continue;
        Log log;
        ArtifactStore store(with_locks(rank == 3 ? "/proc/no/cache" : directory.path()), log);
        const auto made = store.obtain(
            sample_key(), [](const Artifact&) { return true; },
            [] {
                std::this_thread::sleep_for(std::chrono::milliseconds(200));
                return sample_artifact();
            });
        ::_exit(made.artifact.code == sample_artifact().code ? 0 : 1);
    }
    for (const pid_t rank : ranks) {
        int status = 1;
        ::waitpid(rank, &status, 0);
        CHECK(status == 0);
    }
    CHECK(seconds_since(start) < 0.2 + 1 + 1);  // two compilations, as the locks of both caches are the same, and a second
}
