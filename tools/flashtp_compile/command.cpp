#include "tools/flashtp_compile/command.hpp"

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <initializer_list>
#include <iterator>
#include <optional>
#include <set>
#include <string_view>

#include <fmt/ranges.h>

#include "ir/error.hpp"
#include "ir/nearest.hpp"
#include "runtime/problem_file.hpp"

namespace flashtp::tools {
namespace {

std::optional<DType> dtype_named(const char* option, const std::string& name, std::initializer_list<DType> all) {
    if (name.empty()) return {};
    std::vector<std::string_view> names;
    for (const DType dtype : all) {
        names.push_back(to_string(dtype));
        if (names.back() == name) return dtype;
    }
    user_error("{} is \"{}\"; it must be {}", option, name, fmt::join(names, " or "));
}

void apply(const RequestOptions& options, Problem& problem) {
    problem.deterministic |= options.deterministic;
    problem.strict |= options.strict;
    if (const auto dtype = dtype_named("--dtype", options.dtype, {DType::float32, DType::float64})) problem.dtype = *dtype;
    const auto storage = {DType::float32, DType::float64, DType::bfloat16, DType::float16};
    if (const auto dtype = dtype_named("--dtype-in2", options.dtype_in2, storage)) problem.dtype_in2 = dtype;
    if (const auto dtype = dtype_named("--dtype-weights", options.dtype_weights, storage)) problem.dtype_weights = dtype;
    validate(problem);
}

/// The layer without its name: what makes two layers the same.
std::string content_of(Problem problem) {
    problem.name.clear();
    return to_json(problem);
}

}  // namespace

void add_orders(CLI::App& command, std::vector<int>& orders) {
    command.add_option("--orders", orders, "0: forward, 1: backward, 2: double backward, 3: triple")
        ->delimiter(',')
        ->check(CLI::Range(0, 3))
        ->capture_default_str();
}

void add_specs(CLI::App& command, std::vector<std::string>& specs) {
    command.add_option("SPEC", specs, "a JSON file, or FILE:N for line N of a file with a layer a line")->required();
}

void add_target(CLI::App& command, std::string& target) {
    command.add_option("--target", target, "cpu, cpu:NAME, cuda or an architecture such as sm_90a")->capture_default_str();
}

void add_graph_size(CLI::App& command, std::int64_t& edges) {
    command.add_option("--edges", edges, "about how many edges graphs will have: tuned schedules depend on it; default: many")
        ->check(CLI::Range(0, 1 << 30));
}

void add_cache_directory(CLI::App& command, std::string& directory) {
    command.add_option("--cache", directory, "directory of the kernel cache, or \"off\"; default: see docs/environment.md");
}

void add_request_options(CLI::App& command, RequestOptions& options) {
    command.add_option("--outputs", options.outputs, "subset of the order's outputs, such as d_x,d_y")->delimiter(',');
    command.add_option("--absent", options.absent, "cotangents that are zero, such as t_w")->delimiter(',');
    command.add_option("--dtype", options.dtype, "float32 or float64 instead of what the spec says");
    command.add_option("--dtype-in2", options.dtype_in2, "type of y in memory, like the key dtype_in2 of a specification");
    command.add_option("--dtype-weights", options.dtype_weights, "type of w and its gradients in memory, like the key dtype_weights");
    command.add_flag("--deterministic", options.deterministic, "the same bits in every run, like the key of a specification");
    command.add_flag("--strict", options.strict, "no fused multiply-adds, like the key of a specification");
    command.add_option("--schedule", options.schedule_file, "a schedule as JSON (see emit --level schedule)");
    command.add_option("--factoring", options.factoring, "merged, products, coefficients or weights_first; default: chosen");
    command.add_flag("--general", options.general, "the general schedule even where a special one applies");
}

Request request_of(const RequestOptions& options, int order) {
    Request request{order, options.outputs, options.absent};
    validate(request);
    return request;
}

LoweringOptions lowering_options(const RequestOptions& options) {
    LoweringOptions lowering;
    lowering.general = options.general;
    if (!options.schedule_file.empty()) lowering.schedule = parse_schedule(read_file(options.schedule_file));
    if (!options.factoring.empty()) lowering.factoring = parse_factoring(options.factoring);
    return lowering;
}

std::vector<Problem> load_layers(const std::vector<std::string>& specs, const RequestOptions& options) {
    std::vector<Problem> layers;
    std::set<std::string> seen;
    for (const std::string& spec : specs) {
        for (Problem& problem : load_problems(spec)) {
            apply(options, problem);
            if (seen.insert(content_of(problem)).second) layers.push_back(std::move(problem));
        }
    }
    return layers;
}

Problem load_layer(const std::string& spec, const RequestOptions& options) {
    Problem problem = load_problem(spec);
    apply(options, problem);
    return problem;
}

EngineOptions engine_options(const std::string& cache_directory, int threads) {
    EngineOptions options;
    if (cache_directory == "off")
        options.cache_directory = "";
    else if (!cache_directory.empty())
        options.cache_directory = std::filesystem::absolute(cache_directory);
    options.threads = threads;
    options.log = [](LogLevel level, std::string_view message) {
        if (level == LogLevel::warning) fmt::print(stderr, "flashtp-compile: warning: {}\n", message);
    };
    return options;
}

std::string cache_line(const ArtifactStore& store) {
    const StoreCounts counts = store.counts();
    return fmt::format("kernel cache: {} hits, {} misses, {} rejected; programs: {} hits, {} misses\n", counts.hits, counts.misses,
                       counts.rejected, counts.program_hits, counts.program_misses);
}

std::string read_file(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    if (!file) user_error("{}: cannot be read", path);
    return {std::istreambuf_iterator<char>(file), {}};
}

void write_output(const std::string& path, std::string_view bytes) {
    std::FILE* const file = path.empty() || path == "-" ? stdout : std::fopen(path.c_str(), "wb");
    if (!file) user_error("{}: cannot be written", path);
    const bool complete = std::fwrite(bytes.data(), 1, bytes.size(), file) == bytes.size();
    const bool closed = (file == stdout ? std::fflush(file) : std::fclose(file)) == 0;
    if (!complete || !closed) user_error("{}: could not be written completely", path.empty() ? "standard output" : path);
}

}  // namespace flashtp::tools
