// explain: what was decided and why, what it costs, or which rule a spec breaks.
#include <cstdio>

#include "ir/error.hpp"
#include "runtime/explain.hpp"
#include "tools/flashtp_compile/command.hpp"

namespace flashtp::tools {
namespace {

struct ExplainOptions {
    std::vector<std::string> specs;
    std::string target = "cpu", cache;
    std::vector<int> orders{0, 1, 2};
    RequestOptions request;
    std::int64_t edges = 0;
    bool compile = true, json = false;
};

using Json = nlohmann::ordered_json;

Json explain(Engine& engine, const ExplainOptions& options, const Problem& problem, const Target& target, int order) {
    const Request request = request_of(options.request, order);
    const LoweringOptions lowering =
        engine.tuned(problem, request, target, lowering_options(options.request), size_class(options.edges));
    const Lowered lowered = lower(problem, request, target, lowering);
    std::vector<CompiledKernel> compiled;
    if (options.compile) {
        for (const Kernel& kernel : lowered.kernels) compiled.push_back(engine.compile(kernel));
    }
    return explanation(problem, request, target, lowered, compiled, lowering.tuned);
}

/// A spec that breaks a rule is an answer here, and still wrong input.
std::vector<Problem> supported_layers(const ExplainOptions& options) {
    try {
        return load_layers(options.specs, options.request);
    } catch (const UserError& error) {
        fmt::print("{}\n", options.json ? Json{{"supported", false}, {"rule", error.what()}}.dump(2) : "supported: no");
        std::fflush(stdout);
        throw;
    }
}

int run(const ExplainOptions& options) {
    const std::vector<Problem> layers = supported_layers(options);
    Engine engine(engine_options(options.cache));
    const Target target = engine.target(options.target);
    Json all = Json::array();
    for (const Problem& problem : layers) {
        for (const int order : options.orders) all.push_back(explain(engine, options, problem, target, order));
    }
    if (options.json) {
        fmt::print("{}\n", all.dump(2));
        return exit_done;
    }
    for (const Json& one : all) fmt::print("{}\n", explanation_text(one));
    return exit_done;
}

}  // namespace

void add_explain(CLI::App& app, int& result) {
    auto options = std::make_shared<ExplainOptions>();
    CLI::App* command = add_command(app, "explain", "Say what was decided for a spec and why, or which rule it breaks.",
                                    "flashtp-compile explain examples/specs/sevennet-l3i5.json:2 --target sm_90a --orders 1",
                                    options, &run, result);
    add_specs(*command, options->specs);
    add_target(*command, options->target);
    add_orders(*command, options->orders);
    add_graph_size(*command, options->edges);
    command->add_flag("!--no-compile", options->compile, "predictions only; real registers need the compiler");
    command->add_flag("--json", options->json, "as JSON");
    add_cache_directory(*command, options->cache);
    add_request_options(*command, options->request);
}

}  // namespace flashtp::tools
