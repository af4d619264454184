// serve: compiles one kernel for a process that wants to be able to end the compiler; see runtime/compile_helper.hpp.
#include "runtime/compile_helper.hpp"
#include "tools/flashtp_compile/command.hpp"

namespace flashtp::tools {
namespace {

struct ServeOptions {
    std::uint64_t bytes = CompileLimits{}.bytes;
};

int run(const ServeOptions& options) { return serve_compile(options.bytes); }

}  // namespace

void add_serve(CLI::App& app, int& result) {
    auto options = std::make_shared<ServeOptions>();
    CLI::App* command = add_command(app, "serve", "Compile what the library sends. Not for people.",
                                    "flashtp-compile serve 8589934592", options, &run, result);
    command->add_option("BYTES", options->bytes, "of address space that the compiler may use");
    command->group("");  // hidden
}

}  // namespace flashtp::tools
