// flashtp-compile: compiles, shows, checks and times tensor products. Exit codes: 0 done, 1 a check or a compilation failed,
// 2 the input is wrong.
#include <cstdio>
#include <exception>
#include <string>
#include <vector>

#include "ir/error.hpp"
#include "ir/nearest.hpp"
#include "tools/flashtp_compile/command.hpp"

namespace flashtp::tools {
namespace {

/// Names what was not understood: of an unknown subcommand the parser says only that a known one is missing.
std::string complaint(const CLI::App* app, const CLI::Error& error) {
    const std::vector<std::string> unknown = app->remaining(true);
    const std::string text = unknown.empty() ? error.what() : fmt::format("{}: no such command or option", quote(unknown.front()));
    return fmt::format("flashtp-compile: {}\nRun with --help for more information.\n", text);
}

int run(int argc, char** argv) {
    CLI::App app("Compiles equivariant tensor products into kernels for GPUs and CPUs.", "flashtp-compile");
    app.footer("Example:\n  flashtp-compile verify examples/specs/sevennet-l3i5.json:2 --target cpu --orders 0,1,2\n\n"
               "`flashtp-compile COMMAND --help` describes a command and shows an example of it.");
    app.require_subcommand(1);
    app.failure_message(complaint);
    int result = exit_done;
    for (const AddCommand add : {add_build, add_emit, add_verify, add_bench, add_tune, add_explain, add_cache, add_serve, add_version}) {
        add(app, result);
    }
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        // Prints help on request, else the message; both belong to the parser.
        return app.exit(error) == 0 ? exit_done : exit_usage;
    }
    return result;
}

int complain(int code, const char* message) {
    fmt::print(stderr, "flashtp-compile: {}\n", message);
    return code;
}

}  // namespace
}  // namespace flashtp::tools

int main(int argc, char** argv) {
    using namespace flashtp;
    try {
        return tools::run(argc, argv);
    } catch (const UserError& error) {
        return tools::complain(tools::exit_usage, error.what());
    } catch (const std::exception& error) {
        return tools::complain(tools::exit_failed, error.what());
    }
}
