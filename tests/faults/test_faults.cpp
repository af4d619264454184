// The cache when system calls fail, one by one and for ever: results stay right, nothing is left behind, and it heals by itself.
#include <fcntl.h>
#include <grp.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <map>
#include <set>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include "compiler/pipeline.hpp"
#include "runtime/backend_cuda.hpp"
#include "runtime/cache/entry.hpp"
#include "runtime/cache/store.hpp"
#include "runtime/engine.hpp"
#include "tests/faults/allocation.hpp"
#include "tests/faults/interpose.hpp"
#include "tests/runtime/temporary_directory.hpp"
#include "tests/support/cpu_kernel.hpp"

using namespace flashtp;
using namespace flashtp::test;
namespace fs = std::filesystem;

namespace {

Artifact artifact_of(const std::string& key) {
    Artifact artifact;
    artifact.kernel_name = key;
    artifact.target = "sm_90a";
    for (int i = 0; i < 500; ++i) artifact.code.insert(artifact.code.end(), key.begin(), key.end());
    return artifact;
}

Key key_named(const std::string& name) { return Key().add("test", name); }

struct Cache {
    std::vector<std::string> warnings;
    Log log{[this](LogLevel, std::string_view message) { warnings.emplace_back(message); }};
    ArtifactStore store;

    explicit Cache(const fs::path& directory) : store({.directory = directory}, log) {}

    /// What an engine does for a kernel. False when the result is wrong.
    bool use(const std::string& name) {
        const auto accept = [](const Artifact&) { return true; };
        return store.obtain(key_named(name), accept, [&] { return artifact_of(name); }).artifact.code == artifact_of(name).code;
    }
    /// Everything a cache is asked to do.
    bool use_all() {
        bool right = use("a");
        right &= use("a");
        right &= use("b");
        store.collect();
        for (const StoredFile& file : store.list()) right &= file.key.size() == 64;
        return right;
    }
};

std::size_t open_files() { return static_cast<std::size_t>(std::distance(fs::directory_iterator("/proc/self/fd"), {})); }

struct Sweep {
    int runs = 0;
    std::string failure;
};

/// One fault in a fresh cache that holds the entry "a" already, for half of the calls of a user.
bool survives(const Fault& fault, Sweep& sweep) {
    const TemporaryDirectory directory;
    CHECK(Cache(directory.path() / "cache").use("a"));
    const std::size_t files = open_files();
    bool struck = false;
    std::string problem;
    {
        const Interposed interposed(fault);
        Cache cache(directory.path() / "cache");
        if (!cache.use_all()) problem = "a result is wrong";
        std::set<std::string> causes(cache.warnings.begin(), cache.warnings.end());
        if (causes.size() != cache.warnings.size() || causes.size() > 3) problem = "it warned again and again";
        struck = interposed.struck();
    }
    if (open_files() != files) problem = "a descriptor is left open";
    Cache after(directory.path() / "cache");
    if (!after.use_all() || after.store.counts().store_failures > 0) problem = "it does not heal";
    if (!fs::is_empty(directory.path() / "cache" / "tmp")) problem = "a temporary file stays";
    for (const StoredFile& file : after.store.list()) {
        if (!file.problem.empty()) problem = "a bad entry stays: " + file.problem;
    }
    ++sweep.runs;
    if (!problem.empty())
        sweep.failure = fmt::format("{} call {} fails with {}{}{}: {}", fault.call, fault.nth, std::strerror(fault.error),
                                    fault.persistent ? " for ever" : "", fault.performed ? " after its work" : "", problem);
    return struck;
}

/// Work is done in a child that is ended before its n-th call; the parent then looks. Returns whether it came to that call.
bool killed_before_call(const fs::path& cache, int n) {
    const pid_t child = ::fork();
    if (child == 0) {
        Interposed interposed;
        int calls = 0;
        interposed.before_each([&](const std::string&) {
            if (++calls == n) ::_exit(1);
        });
        ::_exit(Cache(cache).use_all() ? 0 : 2);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    CHECK(WEXITSTATUS(status) != 2);
    return WEXITSTATUS(status) == 1;
}

}  // namespace

TEST_CASE("C5: no failing system call makes a result wrong, leaks a descriptor or leaves something to be repaired") {
    const int errors[] = {ENOSPC, EDQUOT, EIO, ESTALE, EACCES, EPERM, EROFS, EBUSY, ENOENT, EMFILE, ENOLCK, EINTR};
    Sweep sweep;
    for (const std::string& call : interposed_calls()) {
        for (const int error : errors) {
            for (const bool persistent : {false, true}) {
                if (persistent && error == EINTR) continue;  // signals do not come for ever
                for (int nth = 1; survives({call, error, nth, persistent}, sweep) && nth < 30; ++nth) {
                }
            }
        }
    }
    for (const char* call : {"link", "rename", "mkdir", "unlink"}) {
        for (const int error : errors) {
            for (int nth = 1; survives({call, error, nth, false, true}, sweep) && nth < 30; ++nth) {
            }
        }
    }
    MESSAGE(sweep.runs << " faults");
    CHECK(sweep.runs > 2000);
    CHECK(sweep.failure == "");
}

TEST_CASE("C12: a writer that dies before any of its calls leaves only whole entries, and nothing after one collection") {
    const TemporaryDirectory directory;
    const fs::path cache = directory.path() / "cache";
    int deaths = 0;
    for (int n = 1; killed_before_call(cache, n); ++n) {
        ++deaths;
        Cache after(cache);
        for (const StoredFile& file : after.store.list()) CHECK(file.problem == "");
        after.store.collect();
        if (fs::exists(cache / "tmp")) CHECK(fs::is_empty(cache / "tmp"));
        fs::remove_all(cache);
    }
    CHECK(deaths > 30);
}

TEST_CASE("C12: an entry is on the disk before it has its name") {
    const TemporaryDirectory directory;
    const Interposed interposed;
    CHECK(Cache(directory.path() / "cache").use("a"));
    const auto& calls = interposed.calls();
    const auto position = [&](const std::string& call) { return std::ranges::find(calls, call) - calls.begin(); };
    CHECK(position("write") < position("fsync"));
    CHECK(position("fsync") < position("link"));
    CHECK(static_cast<std::size_t>(position("link")) < calls.size());
}

TEST_CASE("C4: where a published name is not seen, every process goes on with what it compiled itself") {
    const TemporaryDirectory directory;
    const fs::path root = directory.path() / "cache";
    for (int process = 0; process < 64; ++process) {
        const pid_t child = ::fork();
        if (child == 0) {
            Interposed interposed;
            interposed.hide_published();
            Cache cache(root);
            const bool right = cache.use("a");
            const auto& calls = interposed.calls();
            const auto linked = std::ranges::find(calls, "link");
            const std::string entry = cache.store.path_of(key_named("a")).string();
            const bool reopened =
                std::any_of(linked, calls.end(), [&](const std::string& call) { return call == "open " + entry; });
            ::_exit(right && !reopened ? 0 : 1);
        }
    }
    for (int process = 0; process < 64; ++process) {
        int status = 1;
        ::wait(&status);
        CHECK(status == 0);
    }
}

TEST_CASE("C8: a cache that may only be read serves every hit; after one refusal nothing is written, and no time is touched") {
    const TemporaryDirectory directory;
    const fs::path root = directory.path() / "cache";
    CHECK(Cache(root).use("a"));
    timespec old[2] = {{1'000'000'000, 0}, {1'000'000'000, 0}};
    {
        Log log;
        const ArtifactStore store({.directory = root}, log);
        ::utimensat(AT_FDCWD, store.path_of(key_named("a")).c_str(), old, 0);
    }
    for (const auto& entry : fs::recursive_directory_iterator(root)) {
        ::chmod(entry.path().c_str(), entry.is_directory() ? 0555 : 0444);
    }
    ::chmod(root.c_str(), 0555);
    ::chmod(directory.path().c_str(), 0755);
    const pid_t child = ::fork();
    if (child == 0) {
        // Root may write everything.
        if (::geteuid() == 0 &&
            (::setgroups(0, nullptr) != 0 || ::setresgid(65534, 65534, 65534) != 0 || ::setresuid(65534, 65534, 65534) != 0))
            ::_exit(3);
        Cache cache(root);
        bool right = cache.use("b");  // refused here
        const Interposed interposed;
        for (int i = 0; i < 10; ++i) right &= cache.use("a") && cache.use("c" + std::to_string(i));
        const auto writes =
            interposed.count("link") + interposed.count("write") + interposed.count("mkdir") + interposed.count("rename");
        const bool in_cache = std::ranges::any_of(
            interposed.calls(), [&](const std::string& call) { return call.starts_with("open_for_writing " + root.string()); });
        const StoreCounts counts = cache.store.counts();
        ::_exit(right && writes == 0 && !in_cache && interposed.count("futimens") == 0 && counts.hits == 10 &&
                        cache.warnings.size() == 1
                    ? 0
                    : 1);
    }
    int status = 1;
    ::waitpid(child, &status, 0);
    CHECK(WEXITSTATUS(status) == 0);
    for (const auto& entry : fs::recursive_directory_iterator(root)) {
        if (entry.is_directory()) ::chmod(entry.path().c_str(), 0755);
    }
    ::chmod(root.c_str(), 0755);
}

TEST_CASE("C11: entries are read, never mapped") {
    const TemporaryDirectory directory;
    Cache cache(directory.path());
    CHECK(cache.use("a"));
    const Interposed interposed;
    CHECK(cache.use("a"));
    CHECK(interposed.count("mmap_file") == 0);
    CHECK(interposed.count("pread") > 0);
}

TEST_CASE("K2: what is read from the environment while a kernel is compiled is in the table of variables") {
    if (!have_llvm_backend()) return;
    const TemporaryDirectory directory;
    take_environment_names();
    EngineOptions options;
    options.read_only_caches.emplace();
    ::setenv("FLASHTP_CACHE_DIR", directory.path().c_str(), 1);
    Engine engine(options);
    const Problem problem = parse_problem(
        R"({"irreps_in1": "2x1o", "irreps_in2": "1o", "irreps_out": "2x0e", "instructions": [[0, 0, 0, "uvu", true]]})");
    engine.compile(problem, {0, {}, {}}, engine.target("cpu"));
    std::set<std::string> known = {"XDG_RUNTIME_DIR", "XDG_CACHE_HOME", "HOME"};  // places of files, which are in no key
    for (const EnvironmentVariable& variable : environment::all) known.emplace(variable.name);
    for (const std::string& name : take_environment_names()) {
        CAPTURE(name);
        CHECK(known.contains(name));
    }
}

TEST_CASE("R2: memory that runs out anywhere is an exception of one kind, and the next attempt works") {
    const TemporaryDirectory directory;
    const std::string text =
        R"({"irreps_in1": "2x1o", "irreps_in2": "1o", "irreps_out": "2x0e", "instructions": [[0, 0, 0, "uvu", true]]})";
    const Problem problem =
        parse_problem(text);  // the JSON library ends the process when it is short of memory while it cleans up
    // Everything but the compiler itself: from a problem to a stored and loaded entry.
    const auto work = [&](int n) {
        const Lowered lowered = lower(problem, {0, {}, {}}, cuda_target("sm_90a"), {});
        const std::string source = make_cuda_backend()->source(lowered.kernels[0]);
        const Key key = kernel_key(lowered.kernels[0], source, fmt::to_string(n));
        Log log;
        ArtifactStore store({.directory = directory.path()}, log);
        return store.save(key, artifact_of("a")) && store.load(key).has_value();
    };
    int failures = 0;
    bool done = false;
    for (int nth = 1; !done && nth < 1'000'000; nth += 1 + nth / 50) {
        fail_allocations(nth);
        try {
            work(nth);
            done = !allocation_failed();
        } catch (const std::bad_alloc&) {
            ++failures;
        }
        fail_allocations(0);
        if (nth % 7 == 0) CHECK(work(-nth));
    }
    CHECK(done);
    CHECK(failures > 100);
}
