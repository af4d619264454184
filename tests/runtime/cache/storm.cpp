#include "tests/runtime/cache/storm.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <map>
#include <random>
#include <thread>

#include "runtime/cache/entry.hpp"
#include "tests/runtime/cache/sample_entry.hpp"
#include "tests/support/shared_memory.hpp"

namespace flashtp::test {
namespace {

using Clock = std::chrono::steady_clock;

struct Counters {
    std::atomic<std::int64_t> reads{0}, corrupt{0}, errors{0};
};

/// Other contents and lengths for each key, so that a mixture shows.
Artifact artifact_for(int key) {
    Artifact artifact = sample_artifact(static_cast<std::uint8_t>(key + 1), static_cast<std::size_t>(20'000 + 10'000 * key));
    artifact.code[artifact.code.size() / 2] = 0xab;
    return artifact;
}

void write_in_place(const std::filesystem::path& path, const Key& key, const Artifact& artifact) {
    std::error_code ignored;
    std::filesystem::create_directories(path.parent_path(), ignored);
    const std::vector<std::uint8_t> bytes = to_bytes({key.text(), artifact});
    const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    for (std::size_t done = 0; file >= 0 && done < bytes.size(); done += 4096) {
        if (::write(file, bytes.data() + done, std::min<std::size_t>(4096, bytes.size() - done)) < 0) break;
    }
    if (file >= 0) ::close(file);
}

[[noreturn]] void work(const StormOptions& options, Counters& counters, unsigned seed) {
    std::mt19937 random(seed);
    Log log;
    try {
        ArtifactStore store(in(options.directory), log);
        for (std::int64_t damaged = 0;;) {
            const int number = static_cast<int>(random() % static_cast<unsigned>(options.keys));
            const Key key = sample_key(std::to_string(number));
            const auto loaded = store.load(key);
            counters.reads += loaded.has_value();
            counters.corrupt += loaded && loaded->code != artifact_for(number).code;
            const std::int64_t seen = store.counts().rejects[static_cast<std::size_t>(Reject::damaged)];
            counters.corrupt += seen - damaged;
            damaged = seen;
            if (loaded && random() % 50 != 0) continue;
            if (options.in_place)
                write_in_place(store.path_of(key), key, artifact_for(number));
            else
                store.save(key, artifact_for(number), random() % 2 == 0);
        }
    } catch (...) {
        ++counters.errors;
    }
    ::_exit(1);
}

/// Evicts nearly everything, over and over.
[[noreturn]] void disturb(const StormOptions& options, Counters& counters) {
    Log log;
    StoreOptions store_options = in(options.directory);
    store_options.caps = {100'000, 4};
    try {
        for (int round = 0;; ++round) {
            ArtifactStore store(store_options, log);
            store.collect();
            if (options.clear && round % 2 == 0) store.clear();
            std::error_code ignored;
            if (options.clear && round % 4 == 1) std::filesystem::remove_all(options.directory, ignored);
            std::this_thread::sleep_for(std::chrono::milliseconds(options.clear ? 100 : 20));
        }
    } catch (...) {
        ++counters.errors;
    }
    ::_exit(1);
}

template <class Work>
pid_t start(Work work) {
    const pid_t child = ::fork();
    if (child == 0) {
        // So that who kills them gets its turn.
        if (::nice(5) == -1) ::_exit(1);
        work();
    }
    return child;
}

void end(pid_t process) {
    ::kill(process, SIGKILL);
    ::waitpid(process, nullptr, 0);
}

}  // namespace

StormResult storm(const StormOptions& options) {
    const SharedMemory<Counters> counters;
    std::mt19937 random(1);
    unsigned seed = 1;
    const auto worker = [&] { return start([&, number = ++seed] { work(options, *counters, number); }); };
    std::vector<pid_t> workers, disturbers;
    for (int i = 0; i < options.processes; ++i) workers.push_back(worker());
    for (int i = 0; i < (options.clear ? 4 : 1) && !options.in_place; ++i)
        disturbers.push_back(start([&] { disturb(options, *counters); }));

    StormResult result;
    const auto until = Clock::now() + std::chrono::duration<double>(options.seconds);
    while (Clock::now() < until) {
        std::this_thread::sleep_for(
            std::chrono::duration<double, std::milli>(options.kill_every_ms > 0 ? options.kill_every_ms : 20));
        if (options.kill_every_ms <= 0) continue;
        pid_t& victim = workers[random() % workers.size()];
        ::kill(victim, SIGKILL);
        ++result.killed;
        victim = worker();
        while (::waitpid(-1, nullptr, WNOHANG) > 0) {}
    }
    for (const pid_t process : workers) end(process);
    for (const pid_t process : disturbers) end(process);
    while (::wait(nullptr) > 0) {}

    Log log;
    ArtifactStore store(in(options.directory), log);
    store.collect();
    std::error_code none;
    for (std::filesystem::directory_iterator at(options.directory / "tmp", none), last; at != last; at.increment(none))
        ++result.temporaries;
    result.entries = static_cast<std::int64_t>(store.list().size());
    result.reads = counters->reads;
    result.corrupt = counters->corrupt;
    result.errors = counters->errors;
    return result;
}

}  // namespace flashtp::test
