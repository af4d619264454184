// Runs a sample on a CUDA device.
#include "runtime/device.hpp"
#include "runtime/edges.hpp"
#include "runtime/self_check.hpp"

namespace flashtp {
namespace {

/// Device copies of a graph's index arrays.
struct DeviceIndex {
    DeviceBuffer row_ptr, sender, edge, sender_ptr, position;

    explicit DeviceIndex(const ReceiverIndex& index)
        : row_ptr(DeviceBuffer::copy_of(std::span(index.row_ptr))), sender(DeviceBuffer::copy_of(std::span(index.sender))),
          edge(DeviceBuffer::copy_of(std::span(index.edge))), sender_ptr(DeviceBuffer::copy_of(std::span(index.sender_ptr))),
          position(DeviceBuffer::copy_of(std::span(index.position))) {}

    GraphView view(const Graph& graph) const {
        const auto array = [](const DeviceBuffer& buffer) { return static_cast<const std::int32_t*>(buffer.data()); };
        return {graph.edges, graph.senders, graph.receivers, array(row_ptr), array(sender), array(edge), nullptr, array(sender_ptr), array(position)};
    }
};

}  // namespace

Tensors run_on_cuda(const Program& program, const Sample& sample) {
    HostOperands host(program.operands(), sample);
    const DeviceIndex index(receiver_index(sample.graph, program.plan().deterministic));
    std::vector<DeviceBuffer> memory;
    std::vector<void*> pointers;
    for (const std::span<std::byte> operand : host.memory()) {
        memory.push_back(DeviceBuffer::copy_of(std::span<const std::byte>(operand)));
        pointers.push_back(memory.back().data());
    }
    const DeviceStream stream;
    GraphView view = index.view(sample.graph);
    const DeviceBuffer workspace(program.workspace_bytes(view));
    view.workspace = workspace.data();
    view.workspace_bytes = workspace.bytes();
    program.launch_cuda(pointers, view, stream.get());
    stream.synchronize();
    for (std::size_t i = 0; i < memory.size(); ++i) {
        const std::span<std::byte> operand = host.memory()[i];
        if (program.operands()[i].role == Role::output) memory[i].download(operand.data(), operand.size());
    }
    return host.outputs();
}

}  // namespace flashtp
