#include "runtime/program.hpp"

#include <algorithm>

#include "compiler/trace.hpp"
#include "ir/error.hpp"
#include "runtime/device.hpp"
#include "runtime/driver.hpp"

namespace flashtp {
namespace {

void check_count(std::string_view what, std::int64_t count) {
    if (count < 0) user_error("the number of {} is {}; it must not be negative", what, count);
    // Index arrays hold 32-bit numbers; what they are multiplied with is 64 bits wide.
    if (count > INT32_MAX) user_error("the number of {} is {}; index arrays reach {}", what, count, INT32_MAX);
}

}  // namespace

struct Program::Loaded {
    void* context;  ///< null on the CPU
    Modules modules;
};

Program::Program(Parts parts) : parts_(std::move(parts)), launches_(parts_.plan.kernels.size()) {
    if (parts_.target.platform == Platform::cpu) cpu_ = std::make_unique<CpuRunner>(parts_.plan);
}

Program::~Program() = default;

Program::Modules Program::load() const {
    Modules modules;
    for (std::size_t k = 0; k < parts_.kernels.size(); ++k) {
        modules.push_back(parts_.backend->load(parts_.plan.kernels[k], *parts_.kernels[k].artifact));
    }
    return modules;
}

const Program::Modules& Program::modules(const void* const* captured) const {
    void* const context = is_cuda() ? current_context() : nullptr;
    LoadedCode& code = loaded_.get();
    const std::lock_guard lock(code.mutex);
    for (const auto& loaded : code.contexts) {
        if (loaded->context == context) return loaded->modules;
    }
    if (captured && is_capturing(*captured))
        throw NotPreparedError("the program's code is not loaded, and the stream is captured into a CUDA graph; "
                               "flashtp_program_prepare loads it before");
    code.contexts.push_back(std::make_unique<Loaded>(Loaded{context, load()}));
    return code.contexts.back()->modules;
}

void Program::prepare() const { modules(); }

Lowered Program::lower() const {
    Trace trace;
    return flashtp::lower(parts_.problem, parts_.request, parts_.target, parts_.options, trace);
}

void Program::check(std::span<void* const> pointers, const GraphView& graph, std::size_t alignment) const {
    check_count("edges", graph.edges);
    check_count("senders", graph.senders);
    check_count("receivers", graph.receivers);
    if (pointers.size() != operands().size()) {
        user_error("{} operand pointers were given; the program has {} operands", pointers.size(), operands().size());
    }
    for (std::size_t i = 0; i < pointers.size(); ++i) {
        const ProgramOperand& operand = operands()[i];
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
    check(operands, graph, size_of(parts_.problem.dtype));
    if (parts_.problem.convolution && graph.receivers > 0) {
        const std::int64_t first = graph.row_ptr[0], last = graph.row_ptr[graph.receivers];
        if (first != 0 || last != graph.edges) {
            user_error("row_ptr runs from {} to {}; it must run from 0 to the number of edges, {}", first, last, graph.edges);
        }
    }
    cpu_->run(operands, graph, modules(), threads, pool);
    for (auto& launches : launches_) launches.fetch_add(1, std::memory_order_relaxed);
}

std::int64_t Program::rows_of(std::size_t kernel, const GraphView& graph) const {
    return parts_.plan.kernels[kernel].receiver_rows ? graph.receivers : graph.edges;
}

LaunchShape Program::shape_of(std::size_t kernel, const Module& module, const GraphView& graph) const {
    LaunchShape shape = module.shape(rows_of(kernel, graph), graph.edges);
    // Parts of a receiver's sum would be added in no fixed order.
    if (parts_.plan.deterministic) shape.parts = 1;
    return shape;
}

void Program::launch_cuda(std::span<void* const> operands, const GraphView& graph, void* stream) const {
    if (!is_cuda()) user_error("the program is compiled for {}, not for CUDA", parts_.target.name);
    check(operands, graph, 16);
    const void* const captured = stream;
    const Modules& loaded = modules(&captured);
    std::vector<LaunchArguments> launches(loaded.size());
    bool split = false;
    for (std::size_t k = 0; k < loaded.size(); ++k) {
        launches[k].buffers = parts_.plan.arguments[k].pointers(operands, graph);
        launches[k].rows = rows_of(k, graph);
        launches[k].row_count = parts_.plan.kernels[k].receiver_rows ? nullptr : graph.edge_count;
        launches[k].shape = shape_of(k, *loaded[k], graph);
        launches[k].stream = stream;
        split |= launches[k].shape.parts > 1;
    }
    std::vector<MemoryRange> zeroed;
    for (const OutputRule& output : parts_.plan.outputs) {
        const std::int64_t bytes = graph.rows(output.row) * output.row_bytes();
        const bool needed = output.zeroed || (split && output.row == Row::receiver);
        if (needed && bytes > 0) zeroed.push_back({operands[static_cast<std::size_t>(output.operand)], static_cast<std::uint64_t>(bytes)});
    }
    if (!launches.empty()) launches.front().zeroed = zeroed;
    for (std::size_t k = 0; k < loaded.size(); ++k) {
        loaded[k]->launch(launches[k], 0, launches[k].rows);
        if (launches[k].rows > 0) launches_[k].fetch_add(1, std::memory_order_relaxed);
    }
}

}  // namespace flashtp
