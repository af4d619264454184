// The operator that groups edges by receiver. Layers of a model share one index.
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>

#include <atomic>
#include <optional>
#include <stdexcept>
#include <string>
#include <tuple>
#include <vector>

#include "programs.hpp"
#include "tensors.hpp"

namespace flashtp::torch_operators {
namespace {

using Index = std::tuple<Tensor, Tensor, Tensor, Tensor>;

std::atomic<std::int64_t> indices{0};

void check_rows(TensorView rows, const char* name, TensorView like) {
    const ScalarType type = rows.dtype();
    const auto fail = [&](const std::string& what) { throw std::invalid_argument(std::string("flashtp: ") + name + what); };
    if (type != ScalarType::Int && type != ScalarType::Long) fail(" is " + rows.dtype_text() + "; it must be int32 or int64");
    if (rows.shape().size() != 1)
        fail(" has the shape " + rows.shape_text() + "; it must have one dimension, one row number an edge");
    if (rows.rows() != like.rows()) fail(" has " + rows.shape_text() + " and receiver " + like.shape_text() + " edges");
    if (type != like.dtype()) fail(" is " + rows.dtype_text() + " and receiver is " + like.dtype_text());
    if (rows.device() != like.device()) fail(" is on " + rows.device().text() + " and receiver is on " + like.device().text());
}

std::int32_t* ints(const Tensor& tensor) { return static_cast<std::int32_t*>(tensor.data_ptr()); }

void build_on_host(const flashtp_edges& edges, const Index& index) {
    const auto& [row_ptr, sender, edge, report] = index;
    std::int32_t sorted = 0;
    check(flashtp_build_receiver_index(&edges, ints(row_ptr), ints(sender), ints(edge), &sorted));
    auto* const found = static_cast<std::int64_t*>(report.data_ptr());
    found[0] = -1;
    found[1] = !sorted;
}

/// The edges that there are, of those that the arrays have room for.
std::int64_t counted_on_host(const Tensor& edge_count, std::int64_t room) {
    const std::int64_t count = *static_cast<const std::int64_t*>(edge_count.data_ptr());
    if (count < 0 || count > room)
        throw std::invalid_argument("flashtp: num_edges is " + std::to_string(count) + "; it must be from 0 to " +
                                    std::to_string(room) + ", the edges that there is room for");
    return count;
}

void check_count(TensorView count, TensorView receiver) {
    const bool is_one = count.shape().empty() || (count.shape().size() == 1 && count.rows() == 1);
    if (!is_one || count.dtype() != ScalarType::Long || count.device() != receiver.device())
        throw std::invalid_argument("flashtp: num_edges is " + count.dtype_text() + " of shape " + count.shape_text() + " on " +
                                    count.device().text() + "; it must be one int64 on " + receiver.device().text());
}

void build_on_device(const flashtp_edges& edges, const Index& index, Device device, void* stream) {
    std::size_t bytes = 0;
    check(flashtp_receiver_index_workspace(&edges, &bytes));
    const Tensor workspace = empty(device, ScalarType::Byte, {static_cast<std::int64_t>(bytes)});
    const auto& [row_ptr, sender, edge, report] = index;
    check(flashtp_build_receiver_index_cuda(engine(), &edges, ints(row_ptr), ints(sender), ints(edge),
                                            static_cast<std::int64_t*>(report.data_ptr()), workspace.data_ptr(), bytes, stream));
}

/// row_ptr, sender and edge as flashtp_graph has them, and the report of flashtp_build_receiver_index_cuda. On a CPU a row out of
/// range is an error; on a GPU finding out means to wait, which is left to the caller. With `edge_count` the first so many edges are
/// meant, and positions behind them hold anything.
Index receiver_index(Tensor receiver, Tensor sender, std::int64_t receivers, std::int64_t senders, bool by_sender,
                     std::optional<Tensor> edge_count) {
    check_rows(receiver, "receiver", receiver);
    check_rows(sender, "sender", receiver);
    if (edge_count) check_count(*edge_count, receiver);
    if (receivers < 0) throw std::invalid_argument("flashtp: num_out is " + std::to_string(receivers) + "; it must not be negative");
    const Device where = TensorView(receiver).device();
    const OnDevice device(where);
    std::vector<Tensor> copies;
    flashtp_edges edges{};
    edges.size = sizeof edges;
    edges.edges = TensorView(receiver).rows();
    edges.senders = senders;
    edges.receivers = receivers;
    edges.sender = dense_data(sender, copies);
    edges.receiver = dense_data(receiver, copies);
    edges.index_bits = TensorView(receiver).dtype() == ScalarType::Int ? 32 : 64;
    edges.by_sender = by_sender;
    const auto array = [&](std::int64_t count) { return empty(where, ScalarType::Int, {count}); };
    Index index{array(receivers + 1), array(edges.edges), array(edges.edges), empty(where, ScalarType::Long, {2})};
    if (device.index() < 0) {
        if (edge_count) edges.edges = counted_on_host(*edge_count, edges.edges);
        build_on_host(edges, index);
    } else {
        if (edge_count) edges.edge_count = static_cast<const std::int64_t*>(edge_count->data_ptr());
        build_on_device(edges, index, where, current_stream(device.index()));
    }
    indices.fetch_add(1, std::memory_order_relaxed);
    return index;
}

/// How many indices were made in this process.
std::int64_t index_count() { return indices.load(std::memory_order_relaxed); }

}  // namespace
}  // namespace flashtp::torch_operators

STABLE_TORCH_LIBRARY_FRAGMENT(flashtp, library) {
    library.def(
        "receiver_index(Tensor receiver, Tensor sender, SymInt receivers, SymInt senders, bool by_sender=False, "
        "Tensor? num_edges=None) -> (Tensor, Tensor, Tensor, Tensor)");
    library.def("index_count() -> int");
}
STABLE_TORCH_LIBRARY_IMPL(flashtp, CPU, library) {
    library.impl("receiver_index", TORCH_BOX(&flashtp::torch_operators::receiver_index));
}
STABLE_TORCH_LIBRARY_IMPL(flashtp, CUDA, library) {
    library.impl("receiver_index", TORCH_BOX(&flashtp::torch_operators::receiver_index));
}
STABLE_TORCH_LIBRARY_IMPL(flashtp, CompositeExplicitAutograd, library) {
    library.impl("index_count", TORCH_BOX(&flashtp::torch_operators::index_count));
}
