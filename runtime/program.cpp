#include "runtime/program.hpp"

#include <algorithm>

#include <fmt/ranges.h>

#include "ir/error.hpp"
#include "runtime/backend_llvm.hpp"
#include "runtime/cuda_launch.hpp"
#include "runtime/device.hpp"
#include "runtime/driver.hpp"
#include "runtime/launch_graph.hpp"

namespace flashtp {
namespace {

void check_count(std::string_view what, std::int64_t count) {
    if (count < 0) user_error("the number of {} is {}; it must not be negative", what, count);
    // Index arrays hold 32-bit numbers; what they are multiplied with is 64 bits wide.
    if (count > INT32_MAX) user_error("the number of {} is {}; index arrays reach {}", what, count, INT32_MAX);
}

void check_counts(const GraphView& graph) {
    check_count("edges", graph.edges);
    check_count("senders", graph.senders);
    check_count("receivers", graph.receivers);
}

void check_processor(const Target& target) {
    const std::vector<std::string> missing = missing_features(target);
    if (!missing.empty()) throw DeviceError(fmt::format("kernels for {} do not run on this processor: it lacks {}", target.name, fmt::join(missing, ", ")));
}

}  // namespace

struct Program::Loaded {
    void* context;  ///< null on the CPU
    Modules modules;
    std::shared_ptr<const ScratchPool> scratch;  ///< for windows; null without
    std::unique_ptr<LaunchGraphs> graphs;        ///< on CUDA, without windows
};

Program::Program(Parts parts) : parts_(std::move(parts)), launches_(parts_.plan.kernels.size()) {
    if (parts_.target.platform == Platform::cpu) cpu_ = std::make_unique<CpuRunner>(parts_.plan);
}

Program::~Program() = default;

Program::Modules Program::load() const {
    if (!is_cuda()) check_processor(parts_.target);
    Modules modules;
    for (std::size_t k = 0; k < parts_.kernels.size(); ++k) {
        modules.push_back(parts_.backend->load(parts_.plan.kernels[k], *parts_.kernels[k].artifact));
    }
    return modules;
}

const Program::Loaded& Program::loaded(const void* const* captured) const {
    void* const context = is_cuda() ? current_context() : nullptr;
    LoadedCode& code = loaded_.get();
    const std::lock_guard lock(code.mutex);
    for (const auto& loaded : code.contexts) {
        if (loaded->context == context) return *loaded;
    }
    if (captured && is_capturing(*captured))
        throw NotPreparedError("the program's code is not loaded, and the stream is captured into a CUDA graph; "
                               "flashtp_program_prepare loads it before");
    auto loaded = std::make_unique<Loaded>(Loaded{context, load(), scratch(), nullptr});
    if (is_cuda() && !loaded->scratch) loaded->graphs = graphs(loaded->modules);
    code.contexts.push_back(std::move(loaded));
    return *code.contexts.back();
}

/// Of a launch with zeroing where there can be one. Its operands are nowhere: the graphs are launched with those of later launches only.
std::unique_ptr<LaunchGraphs> Program::graphs(const Modules& modules) const {
    GraphView graph;
    graph.edges = 64;
    graph.senders = graph.receivers = parts_.problem.convolution ? 1 : graph.edges;
    const std::vector<void*> nowhere(operands().size());
    return std::make_unique<LaunchGraphs>([&](CudaStream stream, LaunchGraph* into) {
        CudaLaunchSequence(parts_.plan, modules, graph, stream).enqueue(nowhere, memory_between_kernels(graph), {nullptr, nullptr, into});
    });
}

std::shared_ptr<const ScratchPool> Program::scratch() const {
    if (!parts_.plan.windows()) return nullptr;
    auto pool = parts_.backend->scratch();
    pool->reserve(CudaLaunchSequence::scratch_bytes(parts_.plan, parts_.plan.tile_edges));
    return pool;
}

void Program::prepare() const { loaded(); }

Lowered Program::lower() const {
    return flashtp::lower(parts_.problem, parts_.request, parts_.target, parts_.options);
}

void Program::check(std::span<void* const> pointers, const GraphView& graph) const {
    check_counts(graph);
    if (pointers.size() != operands().size()) {
        user_error("{} operand pointers were given; the program has {} operands", pointers.size(), operands().size());
    }
    for (std::size_t i = 0; i < pointers.size(); ++i) {
        const ProgramOperand& operand = operands()[i];
        const std::size_t alignment = is_cuda() ? 16 : size_of(operand.dtype);
        const bool empty = graph.rows(operand.row) == 0 || operand.width == 0;
        if (!pointers[i] && operand.used && !empty) user_error("the pointer of operand {} is null", operand.name);
        if (reinterpret_cast<std::uintptr_t>(pointers[i]) % alignment != 0) {
            user_error("the pointer of operand {} is not aligned to {} bytes", operand.name, alignment);
        }
    }
    if (!parts_.problem.convolution) {
        const bool one_row_each = graph.senders == graph.edges && graph.receivers == graph.edges;
        if (!one_row_each) user_error("a plain batch has as many senders and receivers as edges");
        return;
    }
    if (graph.receivers > 0 && !graph.row_ptr) user_error("row_ptr is null; a convolution needs the receiver index");
    if (graph.edges > 0 && !graph.sender) user_error("sender is null; a convolution needs the receiver index");
    if (graph.edges > 0 && graph.receivers == 0) user_error("there are {} edges and no receivers", graph.edges);
    if (graph.edges > 0 && graph.senders == 0) user_error("there are {} edges and no senders", graph.edges);
}

void Program::run_cpu(std::span<void* const> operands, const GraphView& graph, int threads, const ParallelFor& pool) const {
    if (is_cuda()) user_error("the program is compiled for {}, not for a CPU", parts_.target.name);
    if (graph.edge_count) user_error("edge_count is for CUDA; it must be null");
    if (threads < 1) user_error("the number of threads is {}; it must be 1 or more", threads);
    check(operands, graph);
    if (parts_.problem.convolution && graph.receivers > 0) {
        const std::int64_t first = graph.row_ptr[0], last = graph.row_ptr[graph.receivers];
        if (first != 0 || last != graph.edges) {
            user_error("row_ptr runs from {} to {}; it must run from 0 to the number of edges, {}", first, last, graph.edges);
        }
    }
    cpu_->run(operands, graph, loaded().modules, threads, pool);
    for (auto& launches : launches_) launches.fetch_add(1, std::memory_order_relaxed);
}

/// One after the other in the workspace.
std::vector<MemoryRange> Program::memory_between_kernels(const GraphView& graph) const {
    constexpr std::size_t alignment = 256;
    std::vector<MemoryRange> ranges;
    if (parts_.plan.windows()) return ranges;
    auto* next = static_cast<std::byte*>(graph.workspace);
    for (const ProgramOperand& o : parts_.plan.tiles) {
        const std::size_t bytes = static_cast<std::size_t>(parts_.plan.rows_of(o, graph) * o.width) * size_of(o.dtype);
        ranges.push_back({next, bytes});
        next += (bytes + alignment - 1) / alignment * alignment;
    }
    return ranges;
}

std::size_t Program::workspace_bytes(const GraphView& graph) const {
    if (!is_cuda() || parts_.plan.tiles.empty() || parts_.plan.windows()) return 0;
    check_counts(graph);
    GraphView counts = graph;
    counts.workspace = nullptr;
    const MemoryRange last = memory_between_kernels(counts).back();
    return reinterpret_cast<std::uintptr_t>(last.data) + last.bytes;
}

void Program::check_for_sums(const GraphView& graph) const {
    const std::size_t needed = workspace_bytes(graph);
    if (graph.workspace_bytes < needed || (needed > 0 && !graph.workspace))
        user_error("the workspace has {} bytes; a deterministic launch on this graph needs {}", graph.workspace_bytes, needed);
    if (reinterpret_cast<std::uintptr_t>(graph.workspace) % 16 != 0) user_error("the workspace is not aligned to 16 bytes");
    if (parts_.plan.sums_by_sender() && graph.senders > 0 && !graph.sender_ptr)
        user_error("sender_ptr is null; a deterministic program needs the edges by sender as well");
}

void Program::launch_cuda(std::span<void* const> operands, const GraphView& graph, void* stream) const {
    if (!is_cuda()) user_error("the program is compiled for {}, not for CUDA", parts_.target.name);
    check(operands, graph);
    check_for_sums(graph);
    const void* const captured = stream;
    const Loaded& code = loaded(&captured);
    CudaLaunchSequence(parts_.plan, code.modules, graph, stream)
        .enqueue(operands, memory_between_kernels(graph), {code.scratch.get(), code.graphs.get(), nullptr});
    for (std::size_t k = 0; k < launches_.size(); ++k)
        if (parts_.plan.rows_of(k, graph) > 0) launches_[k].fetch_add(1, std::memory_order_relaxed);
}

}  // namespace flashtp
