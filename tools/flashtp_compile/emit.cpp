// emit: one kernel at any level.
#include <cstdio>

#include <nlohmann/json.hpp>

#include "ir/error.hpp"
#include "runtime/backend_cuda.hpp"
#include "runtime/backend_llvm.hpp"
#include "tools/flashtp_compile/command.hpp"

namespace flashtp::tools {
namespace {

struct EmitOptions {
    std::string spec, target = "cpu", level = "kernel", output = "-";
    int order = 0;
    std::int64_t edges = 0;
    RequestOptions request;
};

std::string join(const std::vector<Kernel>& kernels, const std::function<std::string(const Kernel&)>& text) {
    std::string all;
    for (const Kernel& kernel : kernels) all += (all.empty() ? "" : "\n") + text(kernel);
    return all;
}

void need(const Target& target, Platform platform, const std::string& level) {
    if (target.platform == platform) return;
    user_error("--level {} is for {} targets, not for {}", level, platform == Platform::cuda ? "CUDA" : "CPU", target.name);
}

std::string text_of(Engine& engine, const EmitOptions& options, const Target& target, const Lowered& lowered,
                    const Request& request) {
    const std::string& level = options.level;
    if (level == "paths") return to_string(derivative(lowered.paths, request));
    if (level == "edge") return to_string(lowered.edge);
    if (level == "schedule") return nlohmann::json::parse(to_json(lowered.schedule)).dump(2) + "\n";
    if (level == "kernel") return join(lowered.kernels, [](const Kernel& k) { return to_string(k); });
    if (level == "source") return join(lowered.kernels, [&](const Kernel& k) { return engine.source(k); });
    need(target, level == "asm" ? Platform::cpu : Platform::cuda, level);
    if (level == "ptx") return join(lowered.kernels, [&](const Kernel& k) { return compile_to_ptx(k, engine.source(k)); });
    if (level == "sass")
        return join(lowered.kernels, [&](const Kernel& k) { return disassemble_cubin(*engine.compile(k).artifact); });
    return join(lowered.kernels, [&](const Kernel& k) { return llvm_assembly(k, engine.source(k)); });
}

int run(const EmitOptions& options) {
    const Problem problem = load_layer(options.spec, options.request);
    if (options.level == "problem") {
        write_output(options.output, to_json(problem, 2) + "\n");
        return exit_done;
    }
    Engine engine(engine_options(""));
    const Target target = engine.target(options.target);
    const Request request = request_of(options.request, options.order);
    const LoweringOptions lowering = engine.tuned(problem, request, target, lowering_options(options.request), size_class(options.edges));
    const Lowered lowered = lower(problem, request, target, lowering);
    write_output(options.output, text_of(engine, options, target, lowered, request));
    return exit_done;
}

}  // namespace

void add_emit(CLI::App& app, int& result) {
    auto options = std::make_shared<EmitOptions>();
    CLI::App* command =
        add_command(app, "emit", "Print one request at a level of the compiler.",
                    "flashtp-compile emit examples/specs/sevennet-l3i5.json:2 --order 1 --target sm_90a --level source", options,
                    &run, result);
    command->add_option("SPEC", options->spec, "a JSON file, or FILE:N for line N of a file with a layer a line")->required();
    command->add_option("--order", options->order, "0: forward, 1: backward, 2: double backward, 3: triple")
        ->check(CLI::Range(0, 3))
        ->capture_default_str();
    add_target(*command, options->target);
    add_graph_size(*command, options->edges);
    command->add_option("--level", options->level, "what to print")
        ->check(CLI::IsMember({"problem", "paths", "edge", "schedule", "kernel", "source", "ptx", "sass", "asm"}))
        ->capture_default_str();
    command->add_option("-o,--output", options->output, "file; default: standard output")->capture_default_str();
    add_request_options(*command, options->request);
}

}  // namespace flashtp::tools
