#include "launch_memory.hpp"

namespace flashtp::torch_operators {
namespace {

std::int32_t* ints(const Tensor& tensor) { return static_cast<std::int32_t*>(tensor.data_ptr()); }

/// The transpose: the senders that the receiver index has by position are the rows that edges are grouped by.
void add_sender_index(flashtp_graph& graph, Device device, std::vector<Tensor>& memory) {
    flashtp_edges edges{};
    edges.size = sizeof edges;
    edges.edges = graph.edges;
    edges.senders = edges.receivers = graph.senders;
    edges.sender = edges.receiver = graph.sender;
    edges.index_bits = 32;
    edges.edge_count = graph.edge_count;
    std::size_t bytes = 0;
    check(flashtp_receiver_index_workspace(&edges, &bytes));
    const auto array = [&](ScalarType type, std::int64_t count) { return memory.emplace_back(empty(device, type, {count})); };
    const Tensor sender_ptr = array(ScalarType::Int, graph.senders + 1), position = array(ScalarType::Int, graph.edges),
                 senders = array(ScalarType::Int, graph.edges), report = array(ScalarType::Long, 2),
                 workspace = array(ScalarType::Byte, static_cast<std::int64_t>(bytes));
    check(flashtp_build_receiver_index_cuda(engine(), &edges, ints(sender_ptr), ints(senders), ints(position),
                                            static_cast<std::int64_t*>(report.data_ptr()), workspace.data_ptr(), bytes,
                                            current_stream(device.index)));
    graph.sender_ptr = ints(sender_ptr);
    graph.position = ints(position);
}

}  // namespace

std::vector<Tensor> add_launch_memory(flashtp_graph& graph, const CompiledProgram& program, Device device) {
    std::vector<Tensor> memory;
    check(flashtp_program_workspace(program.handle, &graph, &graph.workspace_bytes));
    if (graph.workspace_bytes == 0) return memory;
    graph.workspace = memory.emplace_back(empty(device, ScalarType::Byte, {static_cast<std::int64_t>(graph.workspace_bytes)})).data_ptr();
    if (graph.row_ptr) add_sender_index(graph, device, memory);
    return memory;
}

}  // namespace flashtp::torch_operators
