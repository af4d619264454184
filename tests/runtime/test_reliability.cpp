// What a job on a cluster relies on: kernels that are wrong are refused, threads and forks do not hang, and nothing is compiled where
// that is forbidden.
#include <dlfcn.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <iostream>
#include <thread>

#include <doctest/doctest.h>
#include <flashtp/flashtp.h>

#include "ir/error.hpp"
#include "runtime/cache/entry.hpp"
#include "runtime/edges.hpp"
#include "runtime/engine.hpp"
#include "runtime/self_check.hpp"
#include "tests/runtime/cache/sample_entry.hpp"
#include "tests/runtime/memory_only.hpp"
#include "tests/runtime/temporary_directory.hpp"
#include "tests/support/cpu_kernel.hpp"

using namespace flashtp;
using namespace flashtp::test;
namespace fs = std::filesystem;

namespace {

/// Layers that differ in their channels: as many kernels as are asked for.
Problem layer(int channels, const char* normalization = "component") {
    return parse_problem(fmt::format(
        R"({{"irreps_in1": "{0}x0e+{0}x1o", "irreps_in2": "0e+1o", "irreps_out": "{0}x0e+{0}x1o", "irrep_normalization": "{1}",
        "instructions": [[0, 0, 0, "uvu", true], [0, 1, 1, "uvu", true], [1, 1, 0, "uvu", true]]}})",
        channels, normalization));
}

EngineOptions caching(const fs::path& directory) {
    EngineOptions options;
    options.cache_directory = directory;
    options.read_only_caches.emplace();
    return options;
}

Key key_of(const Program& program) { return Key::of_text(program.kernels()[0].key_text); }

std::shared_ptr<Program> compile(Engine& engine, const Problem& problem, int order = 0) {
    return engine.compile(problem, {order, {}, {}}, engine.target("cpu"));
}

bool is_right(const Program& program, int threads = 2) { return self_check(program, threads).empty(); }

/// Puts the code of one layer into the entry of another, as a broken compiler or a careless copy would.
void plant_wrong_code(const fs::path& directory) {
    Engine engine(caching(directory));
    const auto wrong = compile(engine, layer(8, "norm")), right = compile(engine, layer(8));
    CHECK(wrong->kernels()[0].key != right->kernels()[0].key);
    CHECK(engine.store().save(key_of(*right), *wrong->kernels()[0].artifact, true));
}

bool ended_well(pid_t child) {
    int status = 1;
    ::waitpid(child, &status, 0);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/// Threads compile and run while the process forks; every child must compile and run too, within seconds.
int failed_forks(int forks) {
    const TemporaryDirectory directory;
    Engine engine(caching(directory.path()));
    const auto held = compile(engine, layer(4));
    std::atomic<bool> stop{false};
    std::vector<std::thread> threads;
    for (int t = 0; t < 3; ++t) {
        threads.emplace_back([&, t] {
            for (int i = 0; !stop; ++i) {
                Engine own(caching(directory.path()));
                is_right(*compile(i % 2 ? own : engine, layer(4 + (i + t) % 3)));
            }
        });
    }
    int failed = 0;
    for (int i = 0; i < forks; ++i) {
        const pid_t child = ::fork();
        if (child == 0) {
            ::alarm(30);
            ::_exit(is_right(*held) && is_right(*compile(engine, layer(4 + i % 3))) ? 0 : 1);
        }
        failed += !ended_well(child);
    }
    stop = true;
    for (std::thread& thread : threads) thread.join();
    return failed;
}

/// A process that loads the library as a program does, runs a kernel, unloads the library and exits the ordinary way.
[[noreturn]] void use_library_and_exit() {
    void* const library = ::dlopen(FLASHTP_BINARY_DIR "/lib/libflashtp.so", RTLD_NOW | RTLD_LOCAL);
    if (!library) ::_exit(2);
    const auto find = [&](auto* function, const char* name) {
        return reinterpret_cast<decltype(function)>(::dlsym(library, name));
    };
    flashtp_engine_options options{};
    options.size = sizeof options;
    options.cache_directory = "";
    flashtp_request request{};
    request.size = sizeof request;
    request.problem =
        R"({"irreps_in1": "2x1o", "irreps_in2": "1o", "irreps_out": "2x0e", "instructions": [[0, 0, 0, "uvu", true]]})";
    flashtp_engine* engine = nullptr;
    flashtp_program* program = nullptr;
    bool done = find(&flashtp_engine_create, "flashtp_engine_create")(&options, &engine) == FLASHTP_OK &&
                find(&flashtp_compile, "flashtp_compile")(engine, &request, &program) == FLASHTP_OK;
    float x[12] = {}, y[6] = {}, w[4] = {}, z[4];
    void* operands[] = {x, y, w, z};
    const std::int32_t rows[] = {0, 1, 2}, senders[] = {0, 1};
    flashtp_graph graph{};
    graph = {sizeof graph, 2, 2, 2, rows, senders, nullptr};
    done &= find(&flashtp_run_cpu, "flashtp_run_cpu")(program, operands, 4, &graph, 4) == FLASHTP_OK;
    find(&flashtp_program_destroy, "flashtp_program_destroy")(program);
    find(&flashtp_engine_destroy, "flashtp_engine_destroy")(engine);
    ::dlclose(library);
    std::exit(done ? 0 : 1);
}

int bad_exits(int exits) {
    int bad = 0;
    for (int i = 0; i < exits; ++i) {
        std::cout << std::flush;  // the child's exit would write it again
        const pid_t child = ::fork();
        if (child == 0) use_library_and_exit();
        bad += !ended_well(child);
    }
    return bad;
}

}  // namespace

TEST_CASE("self-check: a wrong kernel in the cache is found, refused and stays refused") {
    if (!have_llvm_backend()) return;
    const TemporaryDirectory directory;
    plant_wrong_code(directory.path());
    EngineOptions checking = caching(directory.path());
    checking.self_check = true;
    {
        Engine engine(caching(directory.path()));
        CHECK_FALSE(is_right(*compile(engine, layer(8))));  // nothing else notices
    }
    for (int i = 0; i < 2; ++i) {
        Engine engine(checking);
        CHECK_THROWS_AS(compile(engine, layer(8)), CompileError);
    }
    Engine later(caching(directory.path()));
    CHECK_THROWS_WITH_AS(compile(later, layer(8)), doctest::Contains("self-check failed: z["), CompileError);
    CHECK(is_right(*compile(later, layer(8, "norm"))));
}

TEST_CASE("self-check: the verdict is kept in the entry") {
    if (!have_llvm_backend()) return;
    const TemporaryDirectory directory;
    EngineOptions checking = caching(directory.path());
    checking.self_check = true;
    {
        Engine engine(checking);
        for (const int order : {0, 1, 2}) compile(engine, layer(8), order);
        for (const StoredFile& file : engine.store().list())
            if (file.kind == "kernel") CHECK(file.self_check == self_check_passed);
    }
    Engine engine(checking);
    CHECK(compile(engine, layer(8))->kernels()[0].artifact->self_check == self_check_passed);
    CHECK(engine.store().counts().stored == 0);
}

TEST_CASE("C16: two caches get the same bytes for the same kernel") {
    if (!have_llvm_backend()) return;
    const TemporaryDirectory first, second;
    for (const auto* directory : {&first, &second}) {
        Engine engine(caching(directory->path()));
        for (const int order : {0, 1}) compile(engine, layer(8), order);
    }
    Log log;
    const auto a = ArtifactStore(in(first.path()), log).entries(), b = ArtifactStore(in(second.path()), log).entries();
    REQUIRE(a.size() == b.size());
    CHECK(pack_bytes(a) == pack_bytes(b));
}

TEST_CASE("C20: where compiling is forbidden a miss is an error that has the key; counters tell hits from misses") {
    if (!have_llvm_backend()) return;
    const TemporaryDirectory directory;
    EngineOptions cached_only = caching(directory.path());
    cached_only.require_cached = true;
    Engine empty(cached_only);
    CHECK_THROWS_WITH_AS(compile(empty, layer(8)), doctest::Contains("toolchain:"), NotCachedError);
    CHECK(empty.store().counts().misses == 1);
    {
        Engine engine(caching(directory.path()));
        compile(engine, layer(8));
    }
    CHECK(is_right(*compile(empty, layer(8))));
    CHECK(empty.store().counts().hits == 1);
    CHECK(empty.store().counts().stored == 0);
}

TEST_CASE("K5: an entry of the right key with the code of another kernel is compiled again") {
    if (!have_llvm_backend()) return;
    const TemporaryDirectory directory;
    Key key;
    {
        Engine engine(caching(directory.path()));
        const auto program = compile(engine, layer(8));
        key = key_of(*program);
        Artifact artifact = *program->kernels()[0].artifact;
        artifact.kernel_name = "another";
        CHECK(engine.store().save(key, artifact, true));
    }
    Engine engine(caching(directory.path()));
    const auto program = compile(engine, layer(8));
    CHECK_FALSE(program->kernels()[0].cached);
    CHECK(engine.store().load(key)->kernel_name == program->plan().kernels[0].name);
}

TEST_CASE("C16: kernels of the cache are compiled again and compared, where that is asked for") {
    if (!have_llvm_backend()) return;
    const TemporaryDirectory directory, damaged;
    for (const int order : {0, 1, 2}) {
        Engine engine(caching(directory.path()));
        compile(engine, layer(8), order);
    }
    plant_wrong_code(damaged.path());
    ::setenv("FLASHTP_CACHE_VERIFY", "1", 1);
    Engine engine(caching(directory.path())), wrong(caching(damaged.path()));
    for (const int order : {0, 1, 2}) CHECK(compile(engine, layer(8), order)->kernels()[0].cached);
    CHECK_THROWS_WITH_AS(compile(wrong, layer(8)), doctest::Contains("compiles to other code than the cache has"), CompileError);
    ::unsetenv("FLASHTP_CACHE_VERIFY");
}

TEST_CASE("launches are counted") {
    if (!have_llvm_backend()) return;
    Engine engine(memory_only());
    const auto program = compile(engine, layer(4));
    CHECK(program->launches(0) == 0);
    for (int i = 0; i < 3; ++i) is_right(*program);
    CHECK(program->launches(0) == 3);
}

TEST_CASE("R18: where memory may not become executable there is a status and no signal") {
    if (!have_llvm_backend()) return;
    const pid_t child = ::fork();
    if (child == 0) {
        constexpr int set_mdwe = 65, refuse_exec_gain = 1;  // of prctl, Linux 6.3
        if (::prctl(set_mdwe, refuse_exec_gain, 0, 0, 0) != 0) ::_exit(2);
        try {
            Engine engine(memory_only());
            compile(engine, layer(4))->prepare();
            ::_exit(3);
        } catch (const CompileError&) {
            ::_exit(0);
        }
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 2) {
        std::cout << "SKIPPED: this kernel cannot deny executable memory" << std::endl;
        return;
    }
    CHECK(status == 0);
}

TEST_CASE("R4: 32 threads that ask for 8 kernels compile each once") {
    if (!have_llvm_backend()) return;
    const TemporaryDirectory directory;
    Engine engine(caching(directory.path()));
    std::atomic<int> wrong{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < 32; ++t) {
        threads.emplace_back([&, t] {
            for (int i = 0; i < 100; ++i) wrong += compile(engine, layer(1 + (i + t) % 8))->kernels().empty();
        });
    }
    for (std::thread& thread : threads) thread.join();
    CHECK(wrong == 0);
    CHECK(engine.store().counts().stored == 8);
}

TEST_SUITE_BEGIN("slow reliability");

TEST_CASE("R5: children of a process whose threads compile and run do the same, none hangs") {
    if (!have_llvm_backend()) return;
    CHECK(failed_forks(40) == 0);
}

TEST_CASE("R13: processes that used and unloaded the library exit well") {
    if (!have_llvm_backend()) return;
    CHECK(bad_exits(10) == 0);
}

TEST_SUITE_END();

TEST_SUITE_BEGIN("nightly reliability");

TEST_CASE("R5: a thousand forks") {
    if (!have_llvm_backend()) return;
    CHECK(failed_forks(1000) == 0);
}

TEST_CASE("R13: a hundred exits") {
    if (!have_llvm_backend()) return;
    CHECK(bad_exits(100) == 0);
}

TEST_SUITE_END();
