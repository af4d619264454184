// flashtp-compile in a directory of its own.
#pragma once

#include <sys/wait.h>

#include <cstdlib>
#include <string>

#include "tests/runtime/temporary_directory.hpp"

namespace flashtp::test {

struct CliResult {
    int code;
    std::string out, err;
    bool says(const char* text) const { return out.find(text) != std::string::npos; }
    bool complains(const char* text) const { return err.find(text) != std::string::npos; }
};

/// A scratch directory with small specs, and a cache of its own.
struct Cli {
    TemporaryDirectory directory;

    Cli() {
        file("good.json", R"({"irreps_in1": "4x0e+4x1o", "irreps_in2": "0e+1o", "irreps_out": "4x0e+4x1o",
            "instructions": [[0, 0, 0, "uvu", true], [0, 1, 1, "uvu", true], [1, 1, 0, "uvu", true]]})");
        file("broken_rule.json", R"({"irreps_in1": "4x1o", "irreps_in2": "1o", "irreps_out": "4x3o",
            "instructions": [[0, 0, 0, "uvu", true]]})");
        file("unknown_key.json", R"({"irreps_in1": "1o", "irreps_in2": "1o", "irreps_out": "0e", "instruction": []})");
        const std::string layer =
            R"({"tp": ["4x0e", "1x0e+1x1o", "4x0e+4x1o", [[0, 0, 0, "uvu", true], [0, 1, 1, "uvu", true]]]})";
        const std::string other = R"({"tp": ["8x0e", "1x0e", "8x0e", [[0, 0, 0, "uvu", true]]]})";
        file("layers.json", layer + "\n" + other + "\n" + layer + "\n");
    }

    std::string path(const std::string& name) const { return (directory.path() / name).string(); }
    void file(const std::string& name, const std::string& text) const { write_text(path(name), text); }

    /// `$/` in the arguments stands for the directory.
    CliResult operator()(std::string arguments, const std::string& surroundings = "") const {
        for (std::size_t at; (at = arguments.find("$/")) != std::string::npos;) {
            arguments.replace(at, 1, directory.path().string());
        }
        const std::string command = "export FLASHTP_CACHE_DIR=" + path("cache") + "; " + surroundings +
                                    FLASHTP_BINARY_DIR "/bin/flashtp-compile " + arguments + " >" + path("out") + " 2>" +
                                    path("err");
        const int status = std::system(command.c_str());
        return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, read_text(path("out")), read_text(path("err"))};
    }
};

}  // namespace flashtp::test
