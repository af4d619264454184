// What the compilers behind flashtp-compile read and leave behind.
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <set>
#include <string>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include "tests/support/cpu_kernel.hpp"
#include "tests/tools/cli.hpp"

using namespace flashtp::test;
namespace fs = std::filesystem;

namespace {

const char* const compiler = FLASHTP_BINARY_DIR "/bin/flashtp-compile";

bool can_compile(const Cli& cli, const char* target) {
    if (cli(std::string("build $/good.json --orders 0 --cache off --target ") + target).code == 0) return true;
    std::cout << "SKIPPED: there is no compiler for " << target << " on this machine" << std::endl;
    return false;
}

/// The argument of a line such as `17 openat(AT_FDCWD, "/etc/passwd", O_RDONLY) = 3`.
std::string opened_in(const std::string& line) {
    const std::size_t begin = line.find('"'), end = line.find('"', begin + 1);
    return end == std::string::npos ? "" : line.substr(begin + 1, end - begin - 1);
}

/// Code of libraries is in keys by its build; nothing else may change what is compiled. OpenSSL's settings concern hashes only.
bool is_no_input(const std::string& file) {
    if (file.find(".so") != std::string::npos || file.ends_with("openssl.cnf")) return true;
    for (const char* place : {"/proc/", "/sys/", "/dev/", "/etc/"})
        if (file.starts_with(place)) return true;
    return false;
}

/// Files that were opened, or looked for, outside the directory.
std::set<std::string> inputs_in(const fs::path& log, const fs::path& directory) {
    std::set<std::string> files;
    std::ifstream lines(log);
    for (std::string line; std::getline(lines, line);) {
        const std::string file = opened_in(line);
        if (file.empty() || line.find("O_DIRECTORY") != std::string::npos || file.starts_with(directory.string())) continue;
        if (!is_no_input(file)) files.insert(file);
    }
    return files;
}

std::size_t files_below(const fs::path& directory) {
    std::size_t count = 0;
    for (const auto& entry : fs::recursive_directory_iterator(directory)) count += entry.is_regular_file();
    return count;
}

}  // namespace

TEST_CASE("K3: compiling opens no header, and no file but the specification and libraries") {
    const Cli cli;
    if (std::system("strace -V >/dev/null 2>&1 && strace -o /dev/null true >/dev/null 2>&1") != 0) {
        std::cout << "SKIPPED: strace is not installed, or may not trace here" << std::endl;
        return;
    }
    // The leak sanitizer does not work under a tracer.
    const std::string log = cli.path("trace"),
                      tracer = "ASAN_OPTIONS=detect_leaks=0 strace -f -qq -e trace=open,openat,openat2,creat -o " + log + " ";
    const std::string header = FLASHTP_SOURCE_DIR "/runtime/include/flashtp/flashtp.h";
    REQUIRE(std::system((tracer + "cat " + header + " >/dev/null").c_str()) == 0);
    CHECK(inputs_in(log, cli.directory.path()).contains(header));
    for (const char* target : {"cpu", "sm_90a"}) {
        CAPTURE(target);
        if (!can_compile(cli, target)) continue;
        const std::string command =
            tracer + fmt::format("{} build {} --orders 0,1 --cache {} --target {} >/dev/null 2>&1", compiler,
                                 cli.path("good.json"), cli.path(std::string("cache-") + target), target);
        REQUIRE(std::system(command.c_str()) == 0);
        CHECK(read_text(log).find("good.json") != std::string::npos);
        for (const std::string& file : inputs_in(log, cli.directory.path())) FAIL_CHECK(file);
    }
}

TEST_SUITE_BEGIN("slow compilers");

TEST_CASE("R19: 64 processes compile at once with NVRTC, and share nothing: no precompiled header, no temporary file") {
    const Cli cli;
    if (!can_compile(cli, "sm_90a")) return;
    constexpr int processes = 64;
    const fs::path place = cli.directory.path() / "shared";
    for (const char* directory : {"home", "tmp", "work"}) fs::create_directories(place / directory);
    std::string script =
        fmt::format("cd {0}/work; export HOME={0}/home TMPDIR={0}/tmp XDG_CACHE_HOME={0}/home; bad=0; all=\n", place.string());
    for (int i = 0; i < processes; ++i)
        script += fmt::format(
            "{} build {} --orders 0 --cache off --target sm_90a --pack {}/{} >/dev/null 2>{}/{}.err & all=\"$all $!\"\n",
            compiler, cli.path("good.json"), place.string(), i, place.string(), i);
    script += "for one in $all; do wait $one || bad=1; done; exit $bad\n";
    cli.file("storm.sh", script);
    CHECK(std::system(("sh " + cli.path("storm.sh")).c_str()) == 0);
    const std::string first = read_text(place / "0");
    CHECK_FALSE(first.empty());
    for (int i = 1; i < processes; ++i) CHECK(read_text(place / std::to_string(i)) == first);
    for (const char* directory : {"home", "tmp", "work"}) CHECK(files_below(place / directory) == 0);
}

TEST_SUITE_END();
