// flashtp-compile as its users call it: what it prints where, and how it exits.
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <string>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include "tests/support/cpu_kernel.hpp"
#include "tests/tools/cli.hpp"

using namespace flashtp::test;
using Result = CliResult;

namespace {

bool have_cpu() { return have_llvm_backend(); }

}  // namespace

TEST_CASE("every help page has an example") {
    const Cli cli;
    for (const char* page :
         {"", "build ", "emit ", "verify ", "bench ", "explain ", "cache ", "cache list ", "cache verify ", "cache stat ",
          "cache gc ", "cache clear ", "cache export ", "cache import ", "cache dump ", "cache explain ", "tune ", "version "}) {
        CAPTURE(page);
        const Result result = cli(std::string(page) + "--help");
        CHECK(result.code == 0);
        CHECK(result.says("Example:\n  flashtp-compile "));
        CHECK(result.err == "");
    }
}

TEST_CASE("wrong usage exits with 2") {
    const Cli cli;
    for (const char* arguments : {"", "compile", "verify", "verify $/good.json --orders 4", "verify $/good.json --no-such-option",
                                  "emit $/good.json --level python", "verify $/good.json --dtype float16", "cache",
                                  "bench $/good.json --factoring cleverly"}) {
        CAPTURE(arguments);
        const Result result = cli(arguments);
        CHECK(result.code == 2);
        CHECK(result.out == "");
        CHECK(result.err.starts_with("flashtp-compile: "));
    }
    CHECK(cli("compile").complains("\"compile\": no such command or option"));
    CHECK(cli("verify $/good.json --no-such-option").complains("\"--no-such-option\": no such command or option"));
}

TEST_CASE("a wrong spec exits with 2 and names what is at fault") {
    const Cli cli;
    for (const char* command : {"emit", "verify", "explain", "build", "bench"}) {
        CAPTURE(command);
        const auto run = [&](const std::string& spec) { return cli(std::string(command) + " $/" + spec); };
        Result result = run("broken_rule.json");
        CHECK(result.code == 2);
        CHECK(result.complains("instruction 0"));
        result = run("unknown_key.json");
        CHECK(result.code == 2);
        CHECK(result.complains("did you mean \"instructions\""));
        result = run("nothing.json");
        CHECK(result.code == 2);
        CHECK(result.complains("nothing.json"));
        result = run("layers.json:9");
        CHECK(result.code == 2);
        CHECK(result.complains("3 lines"));
    }
    CHECK(cli("emit $/good.json --target sm_91").code == 2);
    CHECK(cli("emit $/layers.json").complains("name one of its 3 lines"));
}

TEST_CASE("emit prints every level") {
    const Cli cli;
    const auto emit = [&](const std::string& level, const std::string& target) {
        return cli("emit $/good.json --order 1 --target " + target + " --level " + level);
    };
    CHECK(nlohmann::json::parse(emit("problem", "sm_80").out)["irreps_in1"] == "4x0e+4x1o");
    for (const char* level : {"paths", "edge", "schedule", "kernel", "source"}) {
        CAPTURE(level);
        const Result result = emit(level, "sm_80");
        CHECK(result.code == 0);
        CHECK(result.out.size() > 100);
        CHECK(result.err == "");
        CHECK(emit(level, "sm_80").out == result.out);
    }
    CHECK(emit("source", "sm_80").says("__global__"));
    CHECK(emit("asm", "sm_80").code == 2);
    CHECK(emit("ptx", "cpu:x86-64-v3").code == 2);
    CHECK(cli("emit $/good.json --target sm_90a --level schedule -o $/schedule").code == 0);
    CHECK(read_text(cli.path("schedule")).size() > 100);
    CHECK(cli("emit $/good.json --target sm_90a --level kernel --schedule $/schedule").code == 0);
    if (!have_cpu()) return;
    CHECK(emit("source", "cpu:x86-64-v3").says("define"));
    CHECK(emit("asm", "cpu:x86-64-v3").says("ret"));
}

TEST_CASE("verify in the interpreter needs nothing but this program") {
    const Cli cli;
    const Result result = cli("verify $/good.json --target interp --orders 0,1,2,3 --edges 20 --nodes 4 --seed 3");
    CHECK(result.code == 0);
    CHECK(result.says("0 beyond the bound"));
    CHECK_FALSE(result.says("NO"));
    CHECK(cli("verify $/good.json --target interp:sm_80 --orders 0 --edges 5 --nodes 2 --sorted --dtype float64").code == 0);
    CHECK(cli("verify $/good.json --target interp --orders 0 --edges 0 --nodes 0").code == 0);
    CHECK(cli("verify $/good.json --target interp --orders 0 --edges 5 --nodes 0").code == 2);
}

TEST_CASE("verify on the CPU, as a table and as JSON") {
    if (!have_cpu()) return;
    const Cli cli;
    CHECK(cli("verify $/layers.json --edges 30 --nodes 5").says("16 outputs checked"));
    const Result result = cli("verify $/good.json --orders 2 --absent t_w --edges 30 --nodes 5 --threads 2 --json");
    CHECK(result.code == 0);
    const nlohmann::json json = nlohmann::json::parse(result.out);
    CHECK(json["failed"] == 0);
    CHECK(json["results"].size() == 4);
    for (const auto& row : json["results"]) CHECK(row["ok"] == true);
}

TEST_CASE("a target without its driver or compiler exits with 1") {
    const Cli cli;
    const Result result = cli("verify $/good.json --target cuda --orders 0 --edges 5 --nodes 2");
    if (result.code == 0) return;  // there is a device
    CHECK(result.code == 1);
    CHECK(result.complains("driver"));
}

namespace {

nlohmann::json entries_of(const nlohmann::json& list, std::string_view kind) {
    nlohmann::json entries = nlohmann::json::array();
    for (const auto& entry : list)
        if (entry["kind"] == kind) entries.push_back(entry);
    return entries;
}

}  // namespace

TEST_CASE("build fills the cache once") {
    if (!have_cpu()) return;
    const Cli cli;
    const Result first = cli("build $/layers.json --target cpu --orders 0,1 -j 2");
    CHECK(first.code == 0);
    CHECK(first.says("5 kernels"));  // one layer has another in front of backward, for linear forms
    CHECK_FALSE(first.says("cached"));
    const Result second = cli("build $/layers.json:3 --target cpu --orders 0,1");
    CHECK(second.says("cached"));
    CHECK(second.says("3 kernels"));
    CHECK(cli("cache verify").says("9 entries, 0 bad"));  // five kernels, four programs
    CHECK(nlohmann::json::parse(cli("cache stat --json").out)["entries"] == 9);
    const nlohmann::json list = nlohmann::json::parse(cli("cache list --json").out);
    REQUIRE(list.size() == 9);
    CHECK(entries_of(list, "kernel").size() == 5);
    CHECK(entries_of(list, "program").size() == 4);

    const std::string path = list[0]["path"];
    write_text(path, read_text(path) + "x");
    const Result bad = cli("cache verify");
    CHECK(bad.code == 1);
    CHECK(bad.complains(path.c_str()));
    CHECK(cli("cache list").says("BAD"));
    CHECK(cli("cache stat --cache $/elsewhere").says("0 entries"));
}

TEST_CASE("C20: kernels move by pack, keys are compared, and what is in no cache is named") {
    if (!have_cpu()) return;
    const Cli cli;
    CHECK(cli("build $/layers.json --target cpu --orders 0,1 --pack $/built.pack").code == 0);
    CHECK(cli("cache export $/exported.pack").code == 0);
    CHECK(read_text(cli.path("built.pack")) == read_text(cli.path("exported.pack")));
    CHECK(cli("cache import $/exported.pack --cache $/other").says("9 of 9 entries taken"));
    CHECK(cli("cache verify --cache $/other").says("9 entries, 0 bad"));

    const nlohmann::json list = entries_of(nlohmann::json::parse(cli("cache list --json").out), "kernel");
    const std::string a = list[0]["key"], b = list[1]["key"];
    const Result differ = cli("cache explain " + a + " " + b);
    CHECK(differ.says("source-sha256"));
    CHECK_FALSE(differ.says("toolchain"));
    CHECK(cli("cache explain " + a + " " + a).says("the keys are the same"));
    CHECK(cli("cache dump " + a + " --what key").says("schema:1:1"));
    CHECK(cli("cache dump " + a).out.substr(1, 3) == "ELF");
    CHECK(cli("cache dump zz").code == 2);

    const std::string strict = "FLASHTP_REQUIRE_CACHED=1 ",
                      packed = strict + "FLASHTP_CACHE_PATH=" + cli.path("built.pack") + " ";
    const std::string build = "build $/layers.json --target cpu --orders 0,1 --cache $/third";
    const Result missing = cli(build, strict);
    CHECK(missing.code == 1);
    CHECK(missing.complains("is in no cache"));
    CHECK(missing.complains("toolchain:"));
    CHECK(cli(build, packed).code == 0);
    CHECK(cli("cache clear").says("9 entries removed"));
    CHECK(cli("cache gc").says("0 entries removed"));
}

TEST_CASE("build --check compares with the oracle and keeps the verdict") {
    if (!have_cpu()) return;
    const Cli cli;
    CHECK(cli("build $/layers.json --target cpu --orders 0,1 --check").says("4 programs compared with the oracle, 0 failed"));
    const nlohmann::json list = nlohmann::json::parse(cli("cache list --json").out);
    for (const auto& entry : entries_of(list, "kernel")) CHECK(entry["self_check"] == "passed");
}

TEST_CASE("a tuned schedule is found again by a second process without measuring") {
    if (!have_cpu()) return;
    const Cli cli;
    const std::string tune = "tune $/good.json --target cpu --orders 0 --edges 40 --edges-per-node 4";
    const Result first = cli(tune);
    CHECK(first.code == 0);
    CHECK(first.says("the default takes"));
    const Result second = cli(tune);
    CHECK(second.says("known: "));
    CHECK_FALSE(second.says("the default takes"));
    CHECK(cli(tune + " --again").says("the default takes"));
    const nlohmann::json tuned = entries_of(nlohmann::json::parse(cli("cache list --json").out), "tuned");
    REQUIRE(tuned.size() == 1);
    CHECK(tuned[0]["kernel"] == "order 0, small graphs");
    CHECK(cli("explain $/good.json --orders 0 --edges 40").says("40 edges: "));
    CHECK(cli("explain $/good.json --orders 0").says("tuned: no"));
    cli("cache clear");
    CHECK(cli("explain $/good.json --orders 0 --edges 40 --no-compile").says("tuned: no"));
}

TEST_CASE("K7: keys do not depend on where and by whom a kernel is compiled") {
    if (!have_cpu()) return;
    const Cli cli;
    const std::string command = "build $/good.json --target cpu --orders 0 --cache $/keys";
    for (const char* surroundings : {"", "HOME=/nonexistent ", "LC_ALL=tr_TR.UTF-8 ", "LC_NUMERIC=de_DE.UTF-8 ",
                                     "OMP_NUM_THREADS=1 ", "SLURM_PROCID=7 CUDA_VISIBLE_DEVICES=3 ", "FLASHTP_NUM_THREADS=3 ",
                                     "cd / && ", "setarch --addr-no-randomize ", "TZ=Asia/Tokyo "}) {
        CHECK(cli(command, surroundings).code == 0);
    }
    CHECK(nlohmann::json::parse(cli("cache stat --json --cache $/keys").out)["entries"] == 2);  // a kernel and its program
}

TEST_CASE("C9: odd homes and read-only places do not matter to a compilation") {
    if (!have_cpu()) return;
    const Cli cli;
    for (const char* surroundings : {"env -u HOME -u FLASHTP_CACHE_DIR ", "env -u FLASHTP_CACHE_DIR HOME=/nonexistent/home ",
                                     "FLASHTP_CACHE_DIR=/proc/flashtp ", "FLASHTP_CACHE=off "}) {
        CAPTURE(surroundings);
        CHECK(cli("verify $/good.json --orders 0 --edges 5 --nodes 2", surroundings).code == 0);
    }
    CHECK(cli("build $/good.json", "FLASHTP_CACHE_DIR=relative ").code == 2);
    CHECK(cli("build $/good.json", "FLASHTP_REQUIRE_CACHED=maybe ").complains("must be 1 or 0"));
}

TEST_CASE("R5: compiling for the CPU does not touch CUDA") {
    if (!have_cpu()) return;
    const Cli cli;
    const Result result = cli("build $/good.json --target cpu --orders 0", "LD_DEBUG=files ");
    CHECK(result.complains("libflashtp_llvm.so"));
    CHECK_FALSE(result.complains("libcuda.so"));
}

TEST_CASE("S4: a program with more rights than its user has no cache and ignores the environment") {
#ifdef __SANITIZE_ADDRESS__
    std::cout << "SKIPPED: the leak sanitizer cannot look into a program with more rights than its user" << std::endl;
    return;
#endif
    const Cli cli;
    const std::string copy = cli.path("setuid-compile");
    std::filesystem::copy_file(FLASHTP_BINARY_DIR "/bin/flashtp-compile", copy);
    const bool raised = ::geteuid() == 0 && ::chown(copy.c_str(), 65534, 65534) == 0 && ::chmod(copy.c_str(), 04755) == 0 &&
                        ::chmod(cli.directory.path().c_str(), 0777) == 0;
    if (!raised) {
        std::cout << "SKIPPED: only root can make a program setuid for another user" << std::endl;
        return;
    }
    const std::string command = "FLASHTP_CACHE_DIR=" + cli.path("cache") + " " + copy + " version --verbose >" + cli.path("out");
    CHECK(std::system(command.c_str()) == 0);
    CHECK(read_text(cli.path("out")).find("cache off") != std::string::npos);
}

TEST_SUITE_BEGIN("slow deployment");

TEST_CASE("C21: the steps of docs/deploy, for three GPUs, on a machine without one") {
    const Cli cli;
    if (cli("emit $/good.json --target sm_80 --level ptx").code != 0) {
        std::cout << "SKIPPED: NVRTC is not installed" << std::endl;
        return;
    }
    const std::string command = "PATH=" FLASHTP_BINARY_DIR "/bin:$PATH " FLASHTP_SOURCE_DIR "/docs/deploy/build-pack.sh " +
                                cli.path("good.json") + " " + cli.path("model.pack") + " sm_80,sm_90a,sm_100 >" + cli.path("out");
    CHECK(std::system(command.c_str()) == 0);
    CHECK(read_text(cli.path("out")).find("9 kernels") != std::string::npos);
    const std::string again = read_text(cli.path("model.pack"));
    CHECK(std::system(command.c_str()) == 0);
    CHECK(read_text(cli.path("model.pack")) == again);
    // A node without the compiler: the pack says what compiled it.
    const std::string node = "FLASHTP_NVRTC=/nonexistent FLASHTP_CACHE_PATH=" + cli.path("model.pack") + " ";
    const Result hits = cli("build $/good.json --target sm_80,sm_90a --cache $/node", node);
    CHECK(hits.code == 0);
    CHECK(hits.says("cached"));
    CHECK(cli("build $/layers.json --target sm_80 --cache $/node", node).complains("/nonexistent"));
}

TEST_SUITE_END();

TEST_CASE("explain answers for good and bad specs") {
    const Cli cli;
    const Result good = cli("explain $/good.json --target sm_90a --orders 1 --no-compile");
    CHECK(good.code == 0);
    CHECK(good.says("multiply adds per edge"));
    CHECK(good.says("launches: a CUDA graph of zeroing and 1 kernel,"));
    const Result bad = cli("explain $/broken_rule.json --json");
    CHECK(bad.code == 2);
    CHECK(nlohmann::json::parse(bad.out)["supported"] == false);
}

TEST_CASE("kernels for another processor are refused before they run") {
    if (!have_cpu()) return;
    const Cli cli;
#ifdef __x86_64__
    const char* const target = "cpu:aarch64+neon";
#else
    const char* const target = "cpu:x86-64-v2";
#endif
    CHECK(cli(std::string("build $/good.json --check --orders 0 --target ") + target).says("0 programs compared"));
    for (const char* command : {"verify", "bench"}) {
        const Result result = cli(std::string(command) + " $/good.json --orders 0 --target " + target);
        CHECK(result.code == 1);
        CHECK(result.complains("do not run on this processor: it lacks "));
    }
}

TEST_CASE("bench measures") {
    if (!have_cpu()) return;
    const Cli cli;
    const Result result = cli("bench $/good.json --orders 0 --edges 64 --nodes 8 --threads 1 --json");
    CHECK(result.code == 0);
    const nlohmann::json json = nlohmann::json::parse(result.out);
    CHECK(json["results"][0]["seconds"] > 0);
    CHECK(json["results"][0]["copy_bytes_per_second"] > 1e6);

    const Result turns = cli("bench $/good.json --orders 0 --edges 64 --nodes 8 --threads 1,2 --thread-time --json");
    const nlohmann::json results = nlohmann::json::parse(turns.out)["results"];
    REQUIRE(results.size() == 2);
    CHECK(results[0]["speed_up"] == 1);
    CHECK(results[1]["threads"] == 2);
    CHECK(results[1]["speed_up"] > 0);
}

TEST_CASE("version, and the table of environment variables") {
    const Cli cli;
    CHECK(cli("version").says("flashtp-compile " FLASHTP_VERSION));
    CHECK(cli("version --environment").out == read_text(FLASHTP_SOURCE_DIR "/docs/environment.md"));
}
