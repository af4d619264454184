// version: what this program is, and what it finds on this machine.
#include <cstdio>

#include "ir/error.hpp"
#include "runtime/options.hpp"
#include "tools/flashtp_compile/command.hpp"

namespace flashtp::tools {
namespace {

struct VersionOptions {
    bool environment = false, verbose = false;
};

/// Never fails: a missing toolchain is something to report.
std::string toolchain(Engine& engine, const std::string& target) {
    try {
        const Target t = engine.target(target);
        return engine.backend(t)->identity(t);
    } catch (const std::exception& error) {
        return std::string("not available: ") + error.what();
    }
}

int run(const VersionOptions& options) {
    if (options.environment) {
        fmt::print("{}", environment_markdown());
        return exit_done;
    }
    fmt::print("flashtp-compile {}\n", FLASHTP_VERSION);
    if (!options.verbose) return exit_done;
    Engine engine(engine_options(""));
    fmt::print("CPU   {}\nCUDA  {}\ncache {}\n", toolchain(engine, "cpu"), toolchain(engine, "sm_80"),
               engine.store().directory().empty() ? "off" : engine.store().directory().string());
    return exit_done;
}

}  // namespace

void add_version(CLI::App& app, int& result) {
    auto options = std::make_shared<VersionOptions>();
    CLI::App* command =
        add_command(app, "version", "Print the version.", "flashtp-compile version --verbose", options, &run, result);
    command->add_flag("--verbose", options->verbose, "also the compilers found here and the cache directory");
    command->add_flag("--environment", options->environment, "the text of docs/environment.md");
}

}  // namespace flashtp::tools
