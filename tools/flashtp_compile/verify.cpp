// verify: every component of every output against the oracle.
#include <cmath>
#include <cstdio>

#include <nlohmann/json.hpp>

#include "ir/error.hpp"
#include "runtime/self_check.hpp"
#include "tools/flashtp_compile/command.hpp"
#include "tools/flashtp_compile/text.hpp"

namespace flashtp::tools {
namespace {

struct VerifyOptions {
    std::vector<std::string> specs;
    std::string target = "cpu", cache;
    std::vector<int> orders{0, 1, 2};
    RequestOptions request;
    SampleOptions sample;
    int threads = 0, rows_per_warp = 0;
    bool json = false;
};

/// "interp" runs the kernel of sm_90a on this host, lane by lane; "interp:NAME" that of another target.
constexpr std::string_view interpreter = "interp", interpreted_default = "sm_90a";

bool is_interpreted(const std::string& target) {
    return target == interpreter || target.starts_with(std::string(interpreter) + ":");
}

std::string target_name(const std::string& target) {
    if (!is_interpreted(target)) return target;
    return std::string(target == interpreter ? interpreted_default : target.substr(interpreter.size() + 1));
}

struct Row {
    const Problem& problem;
    int order;
    OutputCheck check;
    double relative = 0;  ///< error of the whole tensor, against inputs that were not rounded for storage
};

Tensors compute(Engine& engine, const VerifyOptions& options, const Problem& problem, const Request& request,
                const Sample& sample) {
    const Target target = engine.target(target_name(options.target));
    const LoweringOptions lowering = lowering_options(options.request);
    if (is_interpreted(options.target)) {
        return run_interpreted(lower(problem, request, target, lowering), problem.dtype, sample, options.rows_per_warp);
    }
    const std::shared_ptr<Program> program = engine.compile(problem, request, target, lowering);
    return target.platform == Platform::cuda ? run_on_cuda(*program, sample) : run_on_cpu(*program, sample, engine.threads());
}

/// Frobenius norms: of the error, over that of what is expected.
double relative_error(const std::vector<double>& found, const std::vector<double>& expected) {
    double error = 0, all = 0;
    for (std::size_t i = 0; i < found.size(); ++i) {
        error += (found[i] - expected[i]) * (found[i] - expected[i]);
        all += expected[i] * expected[i];
    }
    return error == 0 ? 0 : std::sqrt(error / all);
}

/// The same draws, of the arithmetic's type.
Expected expect_unrounded(Problem problem, const Request& request, const SampleOptions& options) {
    problem.dtype_in2 = problem.dtype_weights = {};
    return expect(problem, request, random_sample(problem, operands_of(problem, request), options));
}

std::vector<Row> check(Engine& engine, const VerifyOptions& options, const Problem& problem, int order) {
    const Request request = request_of(options.request, order);
    const Sample sample = random_sample(problem, operands_of(problem, request), options.sample);
    const Tensors found = compute(engine, options, problem, request, sample);
    const Expected expected = expect(problem, request, sample);
    const bool stored = problem.dtype_in2 || problem.dtype_weights;
    const Expected unrounded = stored ? expect_unrounded(problem, request, options.sample) : expected;
    std::vector<Row> rows;
    for (OutputCheck& c : compare(expected, found, epsilon(problem.dtype))) {
        const double relative = relative_error(found.at(c.output), unrounded.outputs.at(c.output).value);
        rows.push_back({problem, order, std::move(c), relative});
    }
    return rows;
}

std::string name_of(const Problem& problem) { return problem.name.empty() ? "(unnamed)" : problem.name; }

std::string heading(const VerifyOptions& options, const Problem& problem) {
    return fmt::format("{} on {}: {}, {} edges{}, seed {}\n", name_of(problem), options.target, to_string(problem.dtype),
                       grouped(options.sample.edges),
                       problem.convolution ? fmt::format(", {} nodes, {} edges", grouped(options.sample.nodes),
                                                         options.sample.sorted ? "sorted" : "unsorted")
                                           : "",
                       options.sample.seed);
}

std::vector<std::string> cells(const Row& row) {
    const OutputCheck& c = row.check;
    const std::string worst = c.components == 0 ? "-"
                                                : fmt::format("{}[{}][{}] = {:.9g}, oracle {:.9g}, bound {:.2g}", c.output, c.row,
                                                              c.column, c.found, c.expected, c.bound);
    return {fmt::to_string(row.order), c.output, grouped(c.components), fmt::format("{:.4f}", c.ratio),
            c.ok() ? "yes" : "NO",     fmt::format("{:.2g}", row.relative), worst};
}

nlohmann::json to_json(const Row& row) {
    const OutputCheck& c = row.check;
    // JSON has no infinity: null says that the bound was missed by any measure.
    return {{"layer", name_of(row.problem)}, {"order", row.order}, {"output", c.output}, {"components", c.components},
            {"error_over_bound", c.ratio},   {"row", c.row},       {"column", c.column}, {"found", c.found},
            {"expected", c.expected},        {"bound", c.bound},   {"ok", c.ok()},
            {"relative_error", row.relative}};
}

void print_table(const VerifyOptions& options, const Problem& problem, const std::vector<Row>& rows) {
    Table table({"order", "output", "components", "error/bound", "ok", "relative error", "nearest to its bound"});
    for (const Row& row : rows) table.add(cells(row));
    fmt::print("{}{}", heading(options, problem), table.text());
    std::fflush(stdout);
}

int run(const VerifyOptions& options) {
    const std::vector<Problem> layers = load_layers(options.specs, options.request);
    Engine engine(engine_options(options.cache, options.threads));
    nlohmann::json results = nlohmann::json::array();
    std::int64_t outputs = 0, failed = 0;
    for (const Problem& problem : layers) {
        std::vector<Row> rows;
        for (const int order : options.orders) {
            for (Row& row : check(engine, options, problem, order)) {
                rows.push_back(std::move(row));
                ++outputs;
                failed += !rows.back().check.ok();
                if (options.json) results.push_back(to_json(rows.back()));
            }
        }
        if (!options.json) print_table(options, problem, rows);
    }
    if (options.json) {
        fmt::print("{}\n", nlohmann::json{{"target", options.target},
                                          {"edges", options.sample.edges},
                                          {"nodes", options.sample.nodes},
                                          {"seed", options.sample.seed},
                                          {"sorted", options.sample.sorted},
                                          {"failed", failed},
                                          {"results", results}}
                               .dump(2));
    } else {
        fmt::print("{} outputs checked, {} beyond the bound 8 eps sqrt(n) S\n{}", outputs, failed,
                   is_interpreted(options.target) ? "" : cache_line(engine.store()));
    }
    return failed == 0 ? exit_done : exit_failed;
}

}  // namespace

void add_verify(CLI::App& app, int& result) {
    auto options = std::make_shared<VerifyOptions>();
    CLI::App* command = add_command(app, "verify", "Run on random inputs and compare every component with the oracle.",
                                    "flashtp-compile verify examples/specs/sevennet-l3i5.json:2 --target cpu --orders 0,1,2",
                                    options, &run, result);
    add_specs(*command, options->specs);
    command
        ->add_option("--target", options->target,
                     "cpu, cuda, interp (the sm_90a kernel, checked lane by lane on this host) or "
                     "interp:TARGET")
        ->capture_default_str();
    add_orders(*command, options->orders);
    command->add_option("--edges", options->sample.edges, "edges, or rows of a plain batch")
        ->check(CLI::Range(0, 1 << 30))
        ->capture_default_str();
    command->add_option("--nodes", options->sample.nodes, "senders and receivers")
        ->check(CLI::Range(0, 1 << 30))
        ->capture_default_str();
    command->add_option("--seed", options->sample.seed, "of the random inputs")->capture_default_str();
    command->add_flag("--sorted,!--unsorted", options->sample.sorted, "edges in order of their receivers; default: unsorted");
    command->add_option("--threads", options->threads, "of a run on the CPU; default: all cores")->check(CLI::Range(1, 1024));
    command->add_option("--rows-per-warp", options->rows_per_warp, "interp only: rows a warp or call takes")
        ->check(CLI::Range(1, 1 << 20));
    command->add_flag("--json", options->json, "results as JSON");
    add_cache_directory(*command, options->cache);
    add_request_options(*command, options->request);
}

}  // namespace flashtp::tools
