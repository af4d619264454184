// The C functions: arguments checked, exceptions turned into statuses.
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <mutex>
#include <new>
#include <optional>
#include <string>
#include <vector>

#include "flashtp/flashtp.h"
#include "ir/error.hpp"
#include "ir/limits.hpp"
#include "runtime/c_structs.hpp"
#include "runtime/edges.hpp"
#include "runtime/edges_cuda.hpp"
#include "runtime/engine.hpp"
#include "runtime/explain.hpp"
#include "runtime/per_process.hpp"

using namespace flashtp;

struct flashtp_engine {
    Engine engine;
};

struct flashtp_program {
    std::shared_ptr<Program> program;
    int threads;
    struct Explanations {
        std::mutex mutex;
        std::string texts[2];  ///< by format, made on request
    };
    PerProcess<Explanations> explanations{};
};

namespace {

/// Of a fixed size: noting that memory ran out needs none.
thread_local char last_message[4096] = "";

void set_message(const char* text) noexcept { std::snprintf(last_message, sizeof last_message, "%s", text); }

flashtp_status fail(flashtp_status status, const char* message) noexcept {
    set_message(message);
    return status;
}

/// Runs the body and turns what it throws into a status. `user` is the status of a rule the caller broke.
template <class Body>
flashtp_status guarded(Body body, flashtp_status user = FLASHTP_INVALID_ARGUMENT) noexcept {
    try {
        body();
        return FLASHTP_OK;
    } catch (const LimitError& error) {
        return fail(FLASHTP_LIMIT_EXCEEDED, error.what());
    } catch (const ArgumentError& error) {
        return fail(FLASHTP_INVALID_ARGUMENT, error.what());
    } catch (const UserError& error) {
        return fail(user, error.what());
    } catch (const NotCachedError& error) {
        return fail(FLASHTP_NOT_CACHED, error.what());
    } catch (const CompileError& error) {
        return fail(FLASHTP_COMPILE_FAILED, error.what());
    } catch (const NotPreparedError& error) {
        return fail(FLASHTP_NOT_PREPARED, error.what());
    } catch (const ForkedError& error) {
        return fail(FLASHTP_FORKED, error.what());
    } catch (const ContextLostError& error) {
        return fail(FLASHTP_CONTEXT_LOST, error.what());
    } catch (const DeviceError& error) {
        return fail(FLASHTP_DEVICE_ERROR, error.what());
    } catch (const std::bad_alloc&) {
        return fail(FLASHTP_OUT_OF_MEMORY, "out of memory");
    } catch (const std::exception& error) {
        return fail(FLASHTP_INTERNAL_ERROR, error.what());
    } catch (...) {
        return fail(FLASHTP_INTERNAL_ERROR, "an exception of unknown type");
    }
}

std::vector<std::string> split(const char* list) {
    std::vector<std::string> names;
    std::string_view rest = list ? list : "";
    while (!rest.empty()) {
        const std::size_t end = std::min(rest.find(','), rest.size());
        names.emplace_back(rest.substr(0, end));
        rest.remove_prefix(std::min(end + 1, rest.size()));
    }
    return names;
}

/// 1, -1 and 0: on, off and as the environment says.
std::optional<bool> choice(std::int32_t given, const char* name) {
    if (given < -1 || given > 1) throw ArgumentError(fmt::format("options.{} is {}; it must be 1, 0 or -1", name, given));
    return given == 0 ? std::nullopt : std::optional(given == 1);
}

EngineOptions engine_options(const flashtp_engine_options& given) {
    EngineOptions options;
    if (given.cache_directory) options.cache_directory = given.cache_directory;
    if (given.read_only_caches) options.read_only_caches = parse_cache_path(given.read_only_caches);
    options.require_cached = choice(given.require_cached, "require_cached");
    options.self_check = choice(given.self_check, "self_check");
    if (given.threads < 0) throw ArgumentError(fmt::format("options.threads is {}; it must not be negative", given.threads));
    options.threads = given.threads;
    if (given.log) {
        options.log = [log = given.log, user = given.log_user](LogLevel level, std::string_view message) {
            log(static_cast<std::int32_t>(level), std::string(message).c_str(), user);
        };
    }
    return options;
}

GraphView graph_view(const flashtp_graph* given) {
    const auto graph = read_struct(given, "graph", offsetof(flashtp_graph, edge) + sizeof(void*));
    for (const void* array : {graph.row_ptr, graph.sender, graph.edge, graph.sender_ptr, graph.position}) {
        if (reinterpret_cast<std::uintptr_t>(array) % alignof(std::int32_t) != 0) {
            throw ArgumentError("an index array of the graph is not aligned to 4 bytes");
        }
    }
    if (reinterpret_cast<std::uintptr_t>(graph.edge_count) % alignof(std::int64_t) != 0)
        throw ArgumentError("graph.edge_count is not aligned to 8 bytes");
    return {graph.edges,      graph.senders,    graph.receivers, graph.row_ptr,   graph.sender,         graph.edge,
            graph.edge_count, graph.sender_ptr, graph.position,  graph.workspace, graph.workspace_bytes};
}

std::span<void* const> operand_span(void* const* operands, std::int32_t count) {
    if (count < 0) throw ArgumentError(fmt::format("count is {}; it must not be negative", count));
    if (count > 0) need(operands, "operands");
    return {operands, static_cast<std::size_t>(count)};
}

flashtp_edges read_edges(const flashtp_edges* given) {
    const auto edges = read_struct(given, "edges", offsetof(flashtp_edges, index_bits) + sizeof(std::int32_t));
    if (edges.index_bits != 32 && edges.index_bits != 64) {
        throw ArgumentError(fmt::format("edges.index_bits is {}; it must be 32 or 64", edges.index_bits));
    }
    if (edges.by_sender != 0 && edges.by_sender != 1)
        throw ArgumentError(fmt::format("edges.by_sender is {}; it must be 0 or 1", edges.by_sender));
    if (edges.edges < 0) throw ArgumentError(fmt::format("edges.edges is {}; it must not be negative", edges.edges));
    return edges;
}

template <class Int>
bool build_host_index(const flashtp_edges& edges, const ReceiverIndexArrays& index) {
    const auto rows = [&](const void* array, const char* name) {
        if (edges.edges > 0) need(array, name);
        if (reinterpret_cast<std::uintptr_t>(array) % alignof(Int) != 0)
            throw ArgumentError(fmt::format("{} is misaligned", name));
        return std::span(static_cast<const Int*>(array), static_cast<std::size_t>(edges.edges));
    };
    const EdgeList<Int> list{rows(edges.sender, "edges.sender"), rows(edges.receiver, "edges.receiver"), edges.senders,
                             edges.receivers, edges.by_sender == 1};
    return build_receiver_index(list, index);
}

Problem read_problem(const char* text) {
    return parse_problem(std::string_view(text, strnlen(text, static_cast<std::size_t>(limits::max_json_bytes.value) + 1)));
}

Target find_target(const Engine& engine, const char* name) {
    try {
        return engine.target(name);
    } catch (const UserError& error) {
        throw ArgumentError(error.what());
    }
}

std::string explain(const Program& program, bool json) {
    const auto explanation =
        flashtp::explanation(program.problem(), program.request(), program.target(), program.lower(), program.kernels(),
                             program.options().tuned);
    return json ? explanation.dump(2) : explanation_text(explanation);
}

}  // namespace

const char* flashtp_version(void) { return FLASHTP_VERSION; }
const char* flashtp_last_message(void) { return last_message; }

const char* flashtp_status_string(flashtp_status status) {
    switch (status) {
    case FLASHTP_OK: return "FLASHTP_OK";
    case FLASHTP_INVALID_ARGUMENT: return "FLASHTP_INVALID_ARGUMENT";
    case FLASHTP_INVALID_PROBLEM: return "FLASHTP_INVALID_PROBLEM";
    case FLASHTP_LIMIT_EXCEEDED: return "FLASHTP_LIMIT_EXCEEDED";
    case FLASHTP_COMPILE_FAILED: return "FLASHTP_COMPILE_FAILED";
    case FLASHTP_DEVICE_ERROR: return "FLASHTP_DEVICE_ERROR";
    case FLASHTP_OUT_OF_MEMORY: return "FLASHTP_OUT_OF_MEMORY";
    case FLASHTP_INTERNAL_ERROR: return "FLASHTP_INTERNAL_ERROR";
    case FLASHTP_NOT_CACHED: return "FLASHTP_NOT_CACHED";
    case FLASHTP_NOT_PREPARED: return "FLASHTP_NOT_PREPARED";
    case FLASHTP_FORKED: return "FLASHTP_FORKED";
    case FLASHTP_CONTEXT_LOST: return "FLASHTP_CONTEXT_LOST";
    default: return "unknown status";
    }
}

flashtp_status flashtp_engine_create(const flashtp_engine_options* options, flashtp_engine** engine) {
    return guarded([&] {
        *need(engine, "engine") = nullptr;
        flashtp_engine_options given{};
        if (options) given = read_struct(options, "options", sizeof(std::size_t));
        *engine = new flashtp_engine{Engine(engine_options(given))};
    });
}

void flashtp_engine_destroy(flashtp_engine* engine) { delete engine; }

flashtp_status flashtp_engine_cache_counts(const flashtp_engine* engine, flashtp_cache_counts* counts) {
    return guarded([&] {
        const StoreCounts c = const_cast<flashtp_engine*>(need(engine, "engine"))->engine.store().counts();
        write_struct(counts, "counts", cache_counts_struct(c));
    });
}

flashtp_status flashtp_compile(flashtp_engine* engine, const flashtp_request* request, flashtp_program** program) {
    return guarded(
        [&] {
            need(engine, "engine");
            *need(program, "program") = nullptr;
            const auto given = read_struct(request, "request", offsetof(flashtp_request, order) + sizeof(std::int32_t));
            need(given.problem, "request.problem");
            const Problem problem = read_problem(given.problem);
            const Request wanted{given.order, split(given.outputs), split(given.absent)};
            validate(wanted);
            Engine& e = engine->engine;
            const Target target = find_target(e, given.target ? given.target : "cpu");
            if (given.edges < 0) throw ArgumentError(fmt::format("request.edges is {}; it must not be negative", given.edges));
            *program = new flashtp_program{e.compile(problem, wanted, target, {}, size_class(given.edges)), e.threads()};
        },
        FLASHTP_INVALID_PROBLEM);
}

flashtp_status flashtp_check_problem(const char* problem) {
    return guarded([&] { read_problem(need(problem, "problem")); }, FLASHTP_INVALID_PROBLEM);
}

void flashtp_program_destroy(flashtp_program* program) { delete program; }

flashtp_status flashtp_program_operand_count(const flashtp_program* program, int32_t* count) {
    return guarded(
        [&] { *need(count, "count") = static_cast<std::int32_t>(need(program, "program")->program->operands().size()); });
}

flashtp_status flashtp_program_operand(const flashtp_program* program, int32_t index, flashtp_operand* operand) {
    return guarded([&] {
        const auto& o = element(need(program, "program")->program->operands(), index);
        write_struct(operand, "operand",
                     flashtp_operand{0, o.name.c_str(), o.role == Role::input ? FLASHTP_INPUT : FLASHTP_OUTPUT,
                                     static_cast<std::int32_t>(o.row),
                                     static_cast<std::int32_t>(o.dtype), o.used, o.width});
    });
}

flashtp_status flashtp_program_kernel_count(const flashtp_program* program, int32_t* count) {
    return guarded(
        [&] { *need(count, "count") = static_cast<std::int32_t>(need(program, "program")->program->kernels().size()); });
}

flashtp_status flashtp_program_kernel(const flashtp_program* program, int32_t index, flashtp_kernel* kernel) {
    return guarded([&] {
        const Program& p = *need(program, "program")->program;
        const CompiledKernel& compiled = element(p.kernels(), index);
        flashtp_kernel result = kernel_struct(p.plan().kernels[static_cast<std::size_t>(index)], p.target(), compiled);
        result.launches = p.launches(static_cast<std::size_t>(index));
        write_struct(kernel, "kernel", result);
    });
}

flashtp_status flashtp_program_explain(flashtp_program* program, int32_t format, const char** text) {
    return guarded([&] {
        need(program, "program");
        need(text, "text");
        if (format != FLASHTP_EXPLAIN_TEXT && format != FLASHTP_EXPLAIN_JSON)
            throw ArgumentError(fmt::format("format is {}", format));
        auto& [mutex, texts] = program->explanations.get();
        const std::lock_guard lock(mutex);
        std::string& made = texts[format];
        if (made.empty()) made = explain(*program->program, format == FLASHTP_EXPLAIN_JSON);
        *text = made.c_str();
    });
}

flashtp_status flashtp_program_prepare(const flashtp_program* program) {
    return guarded([&] { need(program, "program")->program->prepare(); });
}

flashtp_status flashtp_run_cpu(const flashtp_program* program, void* const* operands, int32_t count, const flashtp_graph* graph,
                               int32_t threads) {
    return guarded([&] {
        need(program, "program");
        program->program->run_cpu(operand_span(operands, count), graph_view(graph), threads == 0 ? program->threads : threads);
    });
}

flashtp_status flashtp_run_cpu_on(const flashtp_program* program, void* const* operands, int32_t count,
                                  const flashtp_graph* graph, const flashtp_pool* pool) {
    return guarded([&] {
        need(program, "program");
        const auto given = read_struct(pool, "pool", offsetof(flashtp_pool, threads) + sizeof(std::int32_t));
        if (!given.parallel) throw ArgumentError("pool.parallel is null");
        program->program->run_cpu(operand_span(operands, count), graph_view(graph), given.threads,
                                  parallel_on({given.parallel, given.user}));
    });
}

flashtp_status flashtp_program_workspace(const flashtp_program* program, const flashtp_graph* graph, size_t* bytes) {
    return guarded([&] { *need(bytes, "bytes") = need(program, "program")->program->workspace_bytes(graph_view(graph)); });
}

flashtp_status flashtp_launch_cuda(const flashtp_program* program, void* const* operands, int32_t count,
                                   const flashtp_graph* graph, void* stream) {
    return guarded(
        [&] { need(program, "program")->program->launch_cuda(operand_span(operands, count), graph_view(graph), stream); });
}

flashtp_status flashtp_build_receiver_index(const flashtp_edges* edges, int32_t* row_ptr, int32_t* sender, int32_t* edge,
                                            int32_t* sorted) {
    return guarded([&] {
        const flashtp_edges given = read_edges(edges);
        need(row_ptr, "row_ptr");
        if (given.edges > 0) need(sender, "sender"), need(edge, "edge");
        if (given.edge_count) throw ArgumentError("edges.edge_count is for CUDA; it must be null");
        const ReceiverIndexArrays index{row_ptr, sender, edge};
        const bool was_sorted =
            given.index_bits == 32 ? build_host_index<std::int32_t>(given, index) : build_host_index<std::int64_t>(given, index);
        if (sorted) *sorted = was_sorted;
    });
}

flashtp_status flashtp_receiver_index_workspace(const flashtp_edges* edges, size_t* bytes) {
    return guarded([&] {
        const flashtp_edges given = read_edges(edges);
        *need(bytes, "bytes") = device_index_workspace(given.edges, given.receivers);
    });
}

flashtp_status flashtp_build_receiver_index_cuda(flashtp_engine* engine, const flashtp_edges* edges, int32_t* row_ptr,
                                                 int32_t* sender, int32_t* edge, int64_t report[2], void* workspace,
                                                 size_t workspace_bytes, void* stream) {
    static_assert(sizeof(DeviceIndexReport) == 2 * sizeof(std::int64_t));
    return guarded([&] {
        Engine& e = need(engine, "engine")->engine;
        const flashtp_edges given = read_edges(edges);
        e.indexer().build(e, {given.sender, given.receiver, given.index_bits, given.edges, given.senders, given.receivers,
                              given.edge_count, given.by_sender == 1},
                          {row_ptr, sender, edge}, reinterpret_cast<DeviceIndexReport*>(report), workspace, workspace_bytes,
                          stream);
    });
}
