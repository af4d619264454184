// Runs a sample on a CUDA device.
#include "runtime/device.hpp"
#include "runtime/edges.hpp"
#include "runtime/self_check.hpp"

namespace flashtp {
namespace {

/// Device copies of a graph's index arrays.
struct DeviceIndex {
    DeviceBuffer row_ptr, sender, edge;

    explicit DeviceIndex(const ReceiverIndex& index)
        : row_ptr(DeviceBuffer::copy_of(std::span(index.row_ptr))), sender(DeviceBuffer::copy_of(std::span(index.sender))),
          edge(DeviceBuffer::copy_of(std::span(index.edge))) {}

    GraphView view(const Graph& graph) const {
        const auto array = [](const DeviceBuffer& buffer) { return static_cast<const std::int32_t*>(buffer.data()); };
        return {graph.edges, graph.senders, graph.receivers, array(row_ptr), array(sender), array(edge)};
    }
};

}  // namespace

Tensors run_on_cuda(const Program& program, const Sample& sample) {
    HostOperands host(program.operands(), sample);
    const DeviceIndex index(receiver_index(sample.graph));
    std::vector<DeviceBuffer> memory;
    std::vector<void*> pointers;
    for (const std::span<std::byte> operand : host.memory()) {
        memory.push_back(DeviceBuffer::copy_of(std::span<const std::byte>(operand)));
        pointers.push_back(memory.back().data());
    }
    const DeviceStream stream;
    program.launch_cuda(pointers, index.view(sample.graph), stream.get());
    stream.synchronize();
    for (std::size_t i = 0; i < memory.size(); ++i) {
        const std::span<std::byte> operand = host.memory()[i];
        if (program.operands()[i].role == Role::output) memory[i].download(operand.data(), operand.size());
    }
    return host.outputs();
}

}  // namespace flashtp
