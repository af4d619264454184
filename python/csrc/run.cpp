#include "run.hpp"

#include <torch/csrc/stable/ops.h>

#include <algorithm>
#include <atomic>
#include <stdexcept>
#include <string>

#include "launch_memory.hpp"
#include "names.hpp"

namespace flashtp::torch_operators {
namespace {

using Views = std::span<const TensorView>;

std::atomic<std::int64_t> launches{0};

/// Rows of the graph: edges, senders, receivers.
struct Rows {
    std::int64_t edges = 0, senders = 0, receivers = 0;

    std::int64_t of(std::int32_t row) const {
        switch (row) {
        case FLASHTP_ROW_EDGE: return edges;
        case FLASHTP_ROW_SENDER: return senders;
        case FLASHTP_ROW_RECEIVER: return receivers;
        default: return 1;
        }
    }
};

const char* row_name(std::int32_t row) {
    switch (row) {
    case FLASHTP_ROW_EDGE: return "one row an edge";
    case FLASHTP_ROW_SENDER: return "one row a sender";
    case FLASHTP_ROW_RECEIVER: return "one row a receiver";
    default: return "one row for all edges";
    }
}

/// Whether there may be fewer edges than their arrays have room for. The index, which has so many, was made with their number.
bool is_counted(Views index) { return index.size() == 4; }

void check_request(const Request& request, Views operands, Views index) {
    if (request.order < 0 || request.order > highest_order) {
        throw std::invalid_argument("flashtp: order is " + std::to_string(request.order) + "; derivatives go up to order 3");
    }
    if (operands.size() < 2) throw std::invalid_argument("flashtp: there are fewer than two operands");
    if (!index.empty() && index.size() != 3 && !is_counted(index)) {
        throw std::invalid_argument("flashtp: index has " + std::to_string(index.size()) +
                                    " tensors; it must have row_ptr, sender and edge, and maybe the number of edges, or none");
    }
    for (const TensorView part : index.first(std::min<std::size_t>(index.size(), 3))) {
        const bool fits = part.shape().size() == 1 && part.is_contiguous() && part.dtype() == ScalarType::Int;
        if (!fits) throw std::invalid_argument("flashtp: index must be what flashtp::receiver_index made");
        if (part.device() != operands[0].device())
            throw std::invalid_argument("flashtp: receiver and sender are on " + part.device().text() + " and x is on " +
                                        operands[0].device().text());
    }
}

Rows rows_of(Views operands, Views index) {
    if (index.empty()) {
        const std::int64_t rows = operands[1].rows();
        return {rows, rows, rows};
    }
    return {index[1].rows(), operands[0].rows(), index[0].rows() - 1};
}

/// Throws for types that no kernel has.
Types types_of(Views operands, std::size_t sources) {
    Types types;
    types.x = operands[0].dtype();
    if (types.x != ScalarType::Float && types.x != ScalarType::Double)
        throw std::invalid_argument("flashtp: x is " + operands[0].dtype_text() + "; it must be float32 or float64");
    const auto stored = [&](std::size_t i, const char* name) {
        const ScalarType type = i < operands.size() ? operands[i].dtype() : types.x;
        const bool two_bytes = type == ScalarType::BFloat16 || type == ScalarType::Half;
        if (type != types.x && !(two_bytes && types.x == ScalarType::Float))
            throw std::invalid_argument(std::string("flashtp: ") + name + " is " + operands[i].dtype_text() + " and x is " +
                                        operands[0].dtype_text() + "; all operands must have one dtype, but that y and w may be " +
                                        "bfloat16 or float16 beside float32");
        return type;
    };
    constexpr std::size_t with_weights = 3;
    types.y = stored(1, "y");
    types.w = sources == with_weights ? stored(2, "w") : types.x;
    return types;
}

/// What kernels read and write: sums in memory are of the type of x.
ScalarType kernel_type(const flashtp_operand& operand) {
    constexpr ScalarType types[] = {ScalarType::Float, ScalarType::Double, ScalarType::BFloat16, ScalarType::Half};
    return types[operand.dtype];
}

void check_operand(TensorView tensor, const flashtp_operand& operand, const Rows& rows, TensorView like, const Types& types) {
    const auto name = [&] { return "flashtp: " + std::string(operand.name); };
    const auto shape = tensor.shape();
    if (shape.size() != 2 || shape[0] != rows.of(operand.row) || shape[1] != operand.width) {
        throw std::invalid_argument(name() + " has the shape " + tensor.shape_text() + "; it must be [" +
                                    std::to_string(rows.of(operand.row)) + ", " + std::to_string(operand.width) + "], " +
                                    row_name(operand.row));
    }
    if (const ScalarType wanted = types.of(operand.name); tensor.dtype() != wanted) {
        throw std::invalid_argument(name() + " is " + tensor.dtype_text() + "; it must be " + torch::headeronly::toString(wanted) +
                                    ", like what it belongs to; all operands must have one dtype, but for y and w");
    }
    if (tensor.device() != like.device())
        throw std::invalid_argument(name() + " is on " + tensor.device().text() + " and x is on " + like.device().text());
}

struct Arrays {
    std::vector<Tensor> copies;   ///< of operands that kernels cannot read as they are, alive until the launch
    std::vector<Tensor> outputs;  ///< what is returned
    std::vector<void*> pointers;
};

Arrays arrays_for(const CompiledProgram& program, Views operands, const Rows& rows, const Types& types, bool counted) {
    if (operands.size() != program.inputs.size()) {
        throw std::invalid_argument("flashtp: there are " + std::to_string(operands.size()) + " operands; the problem has " +
                                    std::to_string(program.inputs.size()));
    }
    const TensorView x = operands[0];
    Arrays arrays;
    arrays.outputs.reserve(program.outputs.size());
    arrays.pointers.reserve(operands.size() + program.outputs.size());
    for (std::size_t i = 0; i < operands.size(); ++i) {
        check_operand(operands[i], program.inputs[i], rows, x, types);
        const bool converts = operands[i].dtype() != kernel_type(program.inputs[i]);
        if (converts) arrays.copies.push_back(converted(operands[i], kernel_type(program.inputs[i])));
        arrays.pointers.push_back(converts ? arrays.copies.back().data_ptr() : dense_data(operands[i], arrays.copies));
    }
    for (const flashtp_operand& output : program.outputs) {
        arrays.outputs.push_back(empty(x.device(), kernel_type(output), {rows.of(output.row), output.width}));
        // Kernels leave the rows of edges that are none.
        if (counted && output.row == FLASHTP_ROW_EDGE) torch::stable::zero_(arrays.outputs.back());
        arrays.pointers.push_back(arrays.outputs.back().data_ptr());
    }
    return arrays;
}

flashtp_graph graph_of(Views index, const Rows& rows) {
    flashtp_graph graph{};
    graph.size = sizeof graph;
    graph.edges = rows.edges;
    graph.senders = rows.senders;
    graph.receivers = rows.receivers;
    if (index.empty()) return graph;
    graph.row_ptr = static_cast<const std::int32_t*>(index[0].data());
    graph.sender = static_cast<const std::int32_t*>(index[1].data());
    // Empty where the edges are sorted by receiver.
    graph.edge = index[2].rows() == rows.edges ? static_cast<const std::int32_t*>(index[2].data()) : nullptr;
    if (is_counted(index) && index[0].device().is_cpu()) graph.edges = graph.row_ptr[rows.receivers];
    if (is_counted(index) && !index[0].device().is_cpu()) graph.edge_count = static_cast<const std::int64_t*>(index[3].data());
    return graph;
}

/// Threads pay off from about this many numbers each on: an edge's rows, all operands together.
constexpr std::int64_t numbers_per_thread = 16384;

std::int32_t threads_for(const CompiledProgram& program, const Rows& rows) {
    const std::int64_t useful = 1 + rows.edges * program.width / numbers_per_thread;
    return static_cast<std::int32_t>(std::min<std::int64_t>(useful, torch::stable::get_num_threads()));
}

/// torch's threads: no second pool competes with them for the cores.
void run_parallel(void*, std::int32_t count, flashtp_work work, void* context) {
    torch::stable::parallel_for(0, count, 1, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t number = begin; number < end; ++number) work(context, static_cast<std::int32_t>(number));
    });
}

void launch(const CompiledProgram& program, Arrays& arrays, flashtp_graph graph, const Rows& rows, const OnDevice& device,
            Device where) {
    const auto count = static_cast<std::int32_t>(arrays.pointers.size());
    if (device.index() >= 0) {
        const std::vector<Tensor> memory = add_launch_memory(graph, program, where);
        check(flashtp_launch_cuda(program.handle, arrays.pointers.data(), count, &graph, current_stream(device.index())));
        return;
    }
    flashtp_pool pool{};
    pool.size = sizeof pool;
    pool.parallel = run_parallel;
    pool.threads = threads_for(program, rows);
    check(flashtp_run_cpu_on(program.handle, arrays.pointers.data(), count, &graph, &pool));
}

}  // namespace

std::vector<Tensor> run_request(const Request& request, Views operands, Views index) {
    check_request(request, operands, index);
    const TensorView x = operands[0];
    const OnDevice device(x.device());
    const std::size_t sources = source_count(static_cast<int>(request.order), request.absent, operands.size());
    const Rows rows = rows_of(operands, index);
    const Types types = types_of(operands, sources);
    const ProgramKey key{request, sources, types, device.index(), size_class(rows.edges)};
    const CompiledProgram& program = program_for(key, rows.edges);
    Arrays arrays = arrays_for(program, operands, rows, types, is_counted(index));
    launch(program, arrays, graph_of(index, rows), rows, device, x.device());
    launches.fetch_add(1, std::memory_order_relaxed);
    for (std::size_t i = 0; i < arrays.outputs.size(); ++i) {
        const ScalarType wanted = types.of(program.outputs[i].name);
        if (kernel_type(program.outputs[i]) != wanted) arrays.outputs[i] = converted(arrays.outputs[i], wanted);
    }
    return std::move(arrays.outputs);
}

std::int64_t launch_count() { return launches.load(std::memory_order_relaxed); }

}  // namespace flashtp::torch_operators
