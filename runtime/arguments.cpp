#include "runtime/arguments.hpp"

#include <algorithm>

#include "ir/error.hpp"

namespace flashtp {
namespace {

enum Source : int { from_row_ptr = -1, from_sender = -2, from_edge = -3, from_sender_ptr = -4, from_position = -5, null = ArgumentList::least_source };

// To a kernel that adds up the parts of senders' rows these are its receivers, and it reads no other rows.
int index_source(const Kernel& kernel, const Buffer& buffer) {
    if (kernel.sums && buffer.name == "row_ptr") return from_sender_ptr;
    if (kernel.sums && buffer.name == "sender") return null;
    if (kernel.sums && buffer.name == "edge") return from_position;
    if (buffer.name == "row_ptr") return from_row_ptr;
    if (buffer.name == "sender") return from_sender;
    if (buffer.name == "edge") return from_edge;
    internal_error("kernel {} has an index buffer \"{}\" that no launcher provides", kernel.name, buffer.name);
}

int operand_source(const Kernel& kernel, const Buffer& buffer, const std::vector<Operand>& operands) {
    const auto found = std::find_if(operands.begin(), operands.end(), [&](const Operand& o) { return o.name == buffer.name; });
    if (found == operands.end()) internal_error("kernel {} has a buffer \"{}\" that is no operand", kernel.name, buffer.name);
    return static_cast<int>(found - operands.begin());
}

void* pointer_of(int source, std::span<void* const> operands, const GraphView& graph) {
    switch (source) {
    case from_row_ptr: return const_cast<std::int32_t*>(graph.row_ptr);
    case from_sender: return const_cast<std::int32_t*>(graph.sender);
    case from_edge: return const_cast<std::int32_t*>(graph.edge);
    case from_sender_ptr: return const_cast<std::int32_t*>(graph.sender_ptr);
    case from_position: return const_cast<std::int32_t*>(graph.position);
    case null: return nullptr;
    default: return operands[static_cast<std::size_t>(source)];
    }
}

}  // namespace

ArgumentList::ArgumentList(const Kernel& kernel, const std::vector<Operand>& operands) {
    for (const Buffer& buffer : kernel.buffers) {
        if (buffer.kind == BufferKind::index) sources_.push_back(index_source(kernel, buffer));
        if (buffer.kind == BufferKind::operand) sources_.push_back(operand_source(kernel, buffer, operands));
    }
}

std::vector<void*> ArgumentList::pointers(std::span<void* const> operands, const GraphView& graph) const {
    std::vector<void*> pointers;
    pointers.reserve(sources_.size());
    for (const int source : sources_) pointers.push_back(pointer_of(source, operands, graph));
    return pointers;
}

namespace {

const Buffer* find_buffer(const Kernel& kernel, const Operand& operand) {
    for (const Buffer& buffer : kernel.buffers) {
        if (buffer.kind == BufferKind::operand && buffer.name == operand.name) return &buffer;
    }
    return nullptr;
}

}  // namespace

std::vector<OutputRule> output_rules(const std::vector<Kernel>& kernels, const std::vector<Operand>& operands, DType dtype) {
    std::vector<OutputRule> rules;
    for (std::size_t i = 0; i < operands.size(); ++i) {
        const Operand& operand = operands[i];
        if (operand.role != Role::output) continue;
        OutputRule rule{static_cast<int>(i), operand.row, operand.width, operand.storage.value_or(dtype)};
        bool mentioned = false;
        for (const Kernel& kernel : kernels) {
            const Buffer* buffer = find_buffer(kernel, operand);
            if (!buffer) continue;
            mentioned = true;
            rule.dtype = buffer->dtype;
            rule.shared_rows |= buffer->shared_rows;
            rule.zeroed |= buffer->zeroed || buffer->shared_rows;
        }
        rule.zeroed |= !mentioned;
        rules.push_back(rule);
    }
    return rules;
}

}  // namespace flashtp
