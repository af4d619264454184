// What the subcommands share: reading their arguments, and the engine they use.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "compiler/pipeline.hpp"
#include "ir/problem.hpp"
#include "ir/request.hpp"
#include "runtime/engine.hpp"

namespace flashtp::tools {

/// Exit codes: wrong input is told apart from a check or a compilation that failed.
enum ExitCode { exit_done = 0, exit_failed = 1, exit_usage = 2 };

/// A subcommand: registers its arguments, and sets `result` when it was the one called.
using AddCommand = void (*)(CLI::App& app, int& result);
void add_build(CLI::App&, int& result);
void add_emit(CLI::App&, int& result);
void add_verify(CLI::App&, int& result);
void add_bench(CLI::App&, int& result);
void add_tune(CLI::App&, int& result);
void add_explain(CLI::App&, int& result);
void add_cache(CLI::App&, int& result);
void add_serve(CLI::App&, int& result);
void add_version(CLI::App&, int& result);
/// The subcommands of cache that take entries out and put them in.
void add_cache_entries(CLI::App& cache, int& result);

/// Registers a subcommand whose arguments live in Options as long as the application does.
template <class Options>
CLI::App* add_command(CLI::App& app, const std::string& name, const std::string& what, const std::string& example,
                      std::shared_ptr<Options> options, int (*run)(const Options&), int& result) {
    CLI::App* command = app.add_subcommand(name, what);
    command->footer("Example:\n  " + example);
    command->callback([options, run, &result] { result = run(*options); });
    return command;
}

/// Arguments that several subcommands have. Lists are separated by commas: "0,1,2".
void add_specs(CLI::App&, std::vector<std::string>& specs);
void add_target(CLI::App&, std::string& target);
void add_orders(CLI::App&, std::vector<int>& orders);
/// The size of graphs for which a schedule is picked.
void add_graph_size(CLI::App&, std::int64_t& edges);
void add_cache_directory(CLI::App&, std::string& directory);

/// Which derivative, and what the scheduler is told.
struct RequestOptions {
    std::vector<std::string> outputs, absent;
    std::string dtype, dtype_in2, dtype_weights, schedule_file, factoring;
    bool general = false, deterministic = false, strict = false;
};
void add_request_options(CLI::App&, RequestOptions&);
Request request_of(const RequestOptions&, int order);
LoweringOptions lowering_options(const RequestOptions&);

/// Every distinct layer of the given FILE and FILE:N, with the options of the request applied. Layers that differ in name only are one.
std::vector<Problem> load_layers(const std::vector<std::string>& specs, const RequestOptions&);
/// The one layer of a SPEC; a file with several throws UserError.
Problem load_layer(const std::string& spec, const RequestOptions&);

EngineOptions engine_options(const std::string& cache_directory, int threads = 0);
/// A line: what the kernel cache did for this command.
std::string cache_line(const ArtifactStore&);

/// Whole files. Throws UserError that names the file.
std::string read_file(const std::string& path);
/// "-" or "": standard output.
void write_output(const std::string& path, std::string_view bytes);

}  // namespace flashtp::tools
