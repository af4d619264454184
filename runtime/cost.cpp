#include "runtime/cost.hpp"

#include "runtime/graph_view.hpp"

namespace flashtp {
namespace {

bool uses(const Lowered& lowered, const Operand& operand) {
    for (const Kernel& kernel : lowered.kernels) {
        for (const Buffer& buffer : kernel.buffers) {
            if (buffer.kind == BufferKind::operand && buffer.name == operand.name) return true;
        }
    }
    return operand.role == Role::output;
}

}  // namespace

Cost cost_of(const Problem& problem, const Lowered& lowered, std::int64_t edges, std::int64_t nodes) {
    const std::int64_t rows = problem.convolution ? nodes : edges;
    const GraphView graph{edges, rows, rows};
    Cost cost;
    for (const Operand& operand : lowered.edge.operands) {
        if (!uses(lowered, operand)) continue;
        cost.bytes += static_cast<double>(graph.rows(operand.row)) * static_cast<double>(operand.width) *
                      static_cast<double>(size_of(operand.storage.value_or(problem.dtype)));
    }
    if (problem.convolution) cost.bytes += 4.0 * static_cast<double>(edges + nodes + 1);
    const OperationCount count = count_operations(lowered.edge);
    cost.multiply_adds = static_cast<double>(count.channel + count.once) * static_cast<double>(edges);
    return cost;
}

Cost cost_of(const Program& program, std::int64_t edges, std::int64_t nodes) {
    return cost_of(program.problem(), program.lower(), edges, nodes);
}

}  // namespace flashtp
