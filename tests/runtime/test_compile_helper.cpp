// A compiler in a process of its own: the same code, and an end to those that run away.
#include <sys/stat.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>

#include <doctest/doctest.h>

#include "ir/error.hpp"
#include "runtime/backend_llvm.hpp"
#include "runtime/compile_helper.hpp"
#include "runtime/engine.hpp"
#include "tests/runtime/memory_only.hpp"
#include "tests/runtime/temporary_directory.hpp"
#include "tests/support/cpu_kernel.hpp"

using namespace flashtp;
using namespace flashtp::test;

namespace {

const std::filesystem::path helper_program = FLASHTP_BINARY_DIR "/bin/flashtp-compile";

struct Job {
    std::unique_ptr<Backend> backend = make_llvm_backend();
    Engine engine{memory_only()};
    Kernel kernel;
    std::string source;

    Job() {
        const Problem problem = parse_problem(
            R"({"irreps_in1": "8x0e+8x1o", "irreps_in2": "0e+1o", "irreps_out": "8x0e", "instructions": [[1, 1, 0, "uvu", true]]})");
        kernel = lower(problem, {0, {}, {}}, engine.target("cpu"), {}).kernels[0];
        source = backend->source(kernel);
    }
    HelperJob job() const { return {backend->compiler(), backend->identity(kernel.target), kernel, source}; }
};

/// A program that stands in for a compiler that misbehaves.
std::filesystem::path script(const TemporaryDirectory& directory, const std::string& body) {
    const std::filesystem::path path = directory.path() / "helper";
    write_text(path, "#!/bin/sh\n" + body + "\n");
    ::chmod(path.c_str(), 0755);
    return path;
}

}  // namespace

TEST_CASE("a helper compiles to the same bytes as this process") {
    if (!have_llvm_backend()) return;
    const Job work;
    std::string why;
    const auto artifact = compile_in_helper(helper_program, work.job(), {}, why);
    REQUIRE(artifact);
    CHECK(artifact->code == work.backend->compile(work.kernel, work.source).code);
    CHECK(artifact->kernel_name == work.kernel.name);
    CHECK(work.backend->load(facts_of(work.kernel), *artifact) != nullptr);
}

TEST_CASE("R16: a compiler that does not end is ended, and the message says which limit it was") {
    if (!have_llvm_backend()) return;
    const Job work;
    const TemporaryDirectory directory;
    std::string why;
    const auto start = std::chrono::steady_clock::now();
    CHECK_THROWS_WITH_AS(compile_in_helper(script(directory, "cat > /dev/null; exec sleep 100"), work.job(), {.seconds = 1}, why),
                         doctest::Contains("took longer than 1 s and was ended (FLASHTP_COMPILE_SECONDS)"), CompileError);
    CHECK_THROWS_AS(compile_in_helper(script(directory, "exec sleep 100"), work.job(), {.seconds = 1}, why), CompileError);
    CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(20));
}

TEST_CASE("a compiler that dies is an error, not an end") {
    if (!have_llvm_backend()) return;
    const Job work;
    const TemporaryDirectory directory;
    std::string why;
    for (const char* const body : {"kill -SEGV $$", "exit 3", "echo nonsense; exit 1"}) {
        CAPTURE(body);
        CHECK_THROWS_AS(compile_in_helper(script(directory, body), work.job(), {}, why), CompileError);
    }
    CHECK_THROWS_WITH_AS(compile_in_helper(script(directory, "kill -SEGV $$"), work.job(), {}, why),
                         doctest::Contains("signal 11"), CompileError);
}

TEST_CASE("what the compiler refuses is said in its words") {
    if (!have_llvm_backend()) return;
    Job work;
    work.source = "this is no LLVM IR";
    std::string why;
    CHECK_THROWS_WITH_AS(compile_in_helper(helper_program, work.job(), {}, why), doctest::Contains("LLVM could not compile"),
                         CompileError);
}

TEST_CASE("without a helper, or with one that has another compiler, there is none") {
    if (!have_llvm_backend()) return;
    const Job work;
    std::string why;
    CHECK_FALSE(compile_in_helper("/nonexistent/helper", work.job(), {}, why));
    CHECK(why.find("/nonexistent/helper") != std::string::npos);
    const TemporaryDirectory directory;
    for (const char* const body : {"echo nonsense", "cat > /dev/null; printf 'code:4:abcd\\n'"}) {
        CAPTURE(body);
        CHECK_FALSE(compile_in_helper(script(directory, body), work.job(), {}, why));
        CHECK(why.find("another version") != std::string::npos);
    }
    const HelperJob other{work.backend->compiler(), "LLVM 1.0", work.kernel, work.source};
    CHECK_FALSE(compile_in_helper(helper_program, other, {}, why));
    CHECK(why.find("another compiler") != std::string::npos);
}

TEST_SUITE("slow helper") {
    TEST_CASE("R16: a compiler that takes more memory than it may is ended") {
        if (!have_llvm_backend()) return;
        Job work;
        work.source.insert(0, 64u << 20, '\n');
        std::string why;
        CHECK_THROWS_WITH_AS(compile_in_helper(helper_program, work.job(), {.bytes = 100u << 20}, why),
                             doctest::Contains("FLASHTP_COMPILE_BYTES"), CompileError);
    }
}
