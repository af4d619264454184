// The operators in torch's stable ABI: one library serves every torch from 2.10 on. Derivatives of torch are registered elsewhere:
// in C++ by autograd.cpp where this torch has a build of it, else in Python.
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <algorithm>
#include <atomic>
#include <stdexcept>
#include <string>
#include <vector>

#include "names.hpp"
#include "programs.hpp"
#include "tensors.hpp"

namespace flashtp::torch_operators {
namespace {

using torch::stable::Tensor;

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

void check_request(const std::vector<Tensor>& operands, const std::vector<Tensor>& index, std::int64_t order) {
    if (order < 0 || order > highest_order) {
        throw std::invalid_argument("flashtp: order is " + std::to_string(order) + "; derivatives go up to order 3");
    }
    if (operands.size() < 2) throw std::invalid_argument("flashtp: there are fewer than two operands");
    if (!index.empty() && index.size() != 3) {
        throw std::invalid_argument("flashtp: index has " + std::to_string(index.size()) +
                                    " tensors; it must have row_ptr, sender and edge, or none");
    }
    for (const Tensor& part : index) {
        const bool fits = part.dim() == 1 && part.is_contiguous() && part.scalar_type() == torch::headeronly::ScalarType::Int;
        if (!fits || !same_device(part, operands[0]))
            throw std::invalid_argument("flashtp: index must be what flashtp::receiver_index made, on the device of x");
    }
}

Rows rows_of(const std::vector<Tensor>& operands, const std::vector<Tensor>& index) {
    if (index.empty()) {
        const std::int64_t rows = leading(operands[1]);
        return {rows, rows, rows};
    }
    return {leading(index[1]), leading(operands[0]), leading(index[0]) - 1};
}

void check_operand(const Tensor& tensor, const flashtp_operand& operand, const Rows& rows, const Tensor& like) {
    const std::string name(operand.name);
    if (tensor.dim() != 2 || tensor.size(0) != rows.of(operand.row) || tensor.size(1) != operand.width) {
        throw std::invalid_argument("flashtp: " + name + " has the shape " + shape_text(tensor) + "; it must be [" +
                                    std::to_string(rows.of(operand.row)) + ", " + std::to_string(operand.width) + "], " +
                                    row_name(operand.row));
    }
    if (tensor.scalar_type() != like.scalar_type()) {
        throw std::invalid_argument("flashtp: " + name + " is " + dtype_text(tensor) + " and x is " + dtype_text(like) +
                                    "; all operands must have one dtype");
    }
    if (!same_device(tensor, like)) {
        throw std::invalid_argument("flashtp: " + name + " is on " + device_text(tensor) + " and x is on " + device_text(like));
    }
}

struct Arrays {
    std::vector<Tensor> kept;     ///< copies of operands that were not contiguous, alive until the launch
    std::vector<Tensor> outputs;  ///< what the operator returns
    std::vector<void*> pointers;
};

Arrays arrays_for(const CompiledProgram& program, const std::vector<Tensor>& operands, const Rows& rows) {
    if (operands.size() != program.inputs.size()) {
        throw std::invalid_argument("flashtp: there are " + std::to_string(operands.size()) + " operands; the problem has " +
                                    std::to_string(program.inputs.size()));
    }
    Arrays arrays;
    arrays.kept.reserve(operands.size());
    arrays.outputs.reserve(program.outputs.size());
    arrays.pointers.reserve(operands.size() + program.outputs.size());
    for (std::size_t i = 0; i < operands.size(); ++i) {
        check_operand(operands[i], program.inputs[i], rows, operands[0]);
        arrays.kept.push_back(dense(operands[i]));
        arrays.pointers.push_back(arrays.kept.back().data_ptr());
    }
    for (const flashtp_operand& output : program.outputs) {
        arrays.outputs.push_back(empty_like_type(operands[0], {rows.of(output.row), output.width}));
        arrays.pointers.push_back(arrays.outputs.back().data_ptr());
    }
    return arrays;
}

flashtp_graph graph_of(const std::vector<Tensor>& index, const Rows& rows) {
    flashtp_graph graph{};
    graph.size = sizeof graph;
    graph.edges = rows.edges;
    graph.senders = rows.senders;
    graph.receivers = rows.receivers;
    if (index.empty()) return graph;
    graph.row_ptr = static_cast<const std::int32_t*>(index[0].data_ptr());
    graph.sender = static_cast<const std::int32_t*>(index[1].data_ptr());
    // Empty where the edges are sorted by receiver.
    graph.edge = leading(index[2]) == rows.edges ? static_cast<const std::int32_t*>(index[2].data_ptr()) : nullptr;
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

void run(const CompiledProgram& program, Arrays& arrays, const flashtp_graph& graph, const Rows& rows, const OnDevice& device) {
    const auto count = static_cast<std::int32_t>(arrays.pointers.size());
    if (device.index() >= 0) {
        check(flashtp_launch_cuda(program.handle, arrays.pointers.data(), count, &graph, device.stream()));
        return;
    }
    flashtp_pool pool{};
    pool.size = sizeof pool;
    pool.parallel = run_parallel;
    pool.threads = threads_for(program, rows);
    check(flashtp_run_cpu_on(program.handle, arrays.pointers.data(), count, &graph, &pool));
}

/// The outputs of a request, in the order of their names; see flashtp.h for orders and names and names.hpp for the masks.
std::vector<Tensor> tensor_product(std::vector<Tensor> operands, std::vector<Tensor> index, std::string problem,
                                   std::int64_t order, std::int64_t outputs, std::int64_t absent) {
    check_request(operands, index, order);
    const Tensor& x = operands[0];
    const OnDevice device(x);
    const CompiledProgram& program = program_for({std::move(problem), order, outputs, absent, is_float64(x), device.index()});
    const Rows rows = rows_of(operands, index);
    Arrays arrays = arrays_for(program, operands, rows);
    run(program, arrays, graph_of(index, rows), rows, device);
    launches.fetch_add(1, std::memory_order_relaxed);
    return std::move(arrays.outputs);
}

/// Throws std::invalid_argument with the rule that a problem breaks; gives the problem its name otherwise.
void check_problem(std::string problem, std::string name) {
    if (flashtp_check_problem(with_dtype(problem, true).c_str()) != FLASHTP_OK)
        throw std::invalid_argument(flashtp_last_message());
    name_problem(name, problem);
}

std::int64_t launch_count() { return launches.load(std::memory_order_relaxed); }

/// What this process did with the kernel cache on disk: hits, misses, kernels it compiled and stored, waits that were given up.
std::vector<std::int64_t> cache_counts() {
    flashtp_cache_counts counts{};
    counts.size = sizeof counts;
    check(flashtp_engine_cache_counts(engine(), &counts));
    return {counts.hits, counts.misses, counts.stored, counts.lock_timeouts};
}

}  // namespace
}  // namespace flashtp::torch_operators

STABLE_TORCH_LIBRARY_FRAGMENT(flashtp, library) {
    library.def("tensor_product(Tensor[] operands, Tensor[] index, str problem, int order, int outputs, int absent) -> Tensor[]");
    library.def("check_problem(str problem, str name) -> ()");
    library.def("launch_count() -> int");
    library.def("cache_counts() -> int[]");
}
STABLE_TORCH_LIBRARY_IMPL(flashtp, CPU, library) {
    library.impl("tensor_product", TORCH_BOX(&flashtp::torch_operators::tensor_product));
}
STABLE_TORCH_LIBRARY_IMPL(flashtp, CUDA, library) {
    library.impl("tensor_product", TORCH_BOX(&flashtp::torch_operators::tensor_product));
}
STABLE_TORCH_LIBRARY_IMPL(flashtp, CompositeExplicitAutograd, library) {
    library.impl("check_problem", TORCH_BOX(&flashtp::torch_operators::check_problem));
    library.impl("launch_count", TORCH_BOX(&flashtp::torch_operators::launch_count));
    library.impl("cache_counts", TORCH_BOX(&flashtp::torch_operators::cache_counts));
}
