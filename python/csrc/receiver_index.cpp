// The operator that groups edges by receiver. Layers of a model share one index.
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>

#include <cstdlib>
#include <stdexcept>
#include <string>
#include <tuple>
#include <vector>

#include "programs.hpp"
#include "tensors.hpp"

namespace flashtp::torch_operators {
namespace {

using torch::headeronly::ScalarType;
using Index = std::tuple<Tensor, Tensor, Tensor, Tensor>;

void check_rows(const Tensor& rows, const char* name, const Tensor& like) {
    const ScalarType type = rows.scalar_type();
    const auto fail = [&](const std::string& what) { throw std::invalid_argument(std::string("flashtp: ") + name + what); };
    if (type != ScalarType::Int && type != ScalarType::Long) fail(" is " + dtype_text(rows) + "; it must be int32 or int64");
    if (rows.dim() != 1) fail(" has the shape " + shape_text(rows) + "; it must have one dimension, one row number an edge");
    if (leading(rows) != leading(like)) fail(" has " + shape_text(rows) + " and receiver " + shape_text(like) + " edges");
    if (type != like.scalar_type()) fail(" is " + dtype_text(rows) + " and receiver is " + dtype_text(like));
    if (!same_device(rows, like)) fail(" is on " + device_text(rows) + " and receiver is on " + device_text(like));
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

void build_on_device(const flashtp_edges& edges, const Index& index, const Tensor& like, void* stream) {
    std::size_t bytes = 0;
    check(flashtp_receiver_index_workspace(&edges, &bytes));
    const Tensor workspace = empty_of(like, ScalarType::Byte, {static_cast<std::int64_t>(bytes)});
    const auto& [row_ptr, sender, edge, report] = index;
    check(flashtp_build_receiver_index_cuda(engine(), &edges, ints(row_ptr), ints(sender), ints(edge),
                                            static_cast<std::int64_t*>(report.data_ptr()), workspace.data_ptr(), bytes, stream));
}

/// row_ptr, sender and edge as flashtp_graph has them, and the report of flashtp_build_receiver_index_cuda. On a CPU a row out of
/// range is an error; on a GPU finding out means to wait, which is left to the caller.
Index receiver_index(Tensor receiver, Tensor sender, std::int64_t receivers, std::int64_t senders) {
    check_rows(receiver, "receiver", receiver);
    check_rows(sender, "sender", receiver);
    const OnDevice device(receiver);
    const Tensor to = dense(receiver), from = dense(sender);
    flashtp_edges edges{};
    edges.size = sizeof edges;
    edges.edges = leading(receiver);
    edges.senders = senders;
    edges.receivers = receivers;
    edges.sender = from.data_ptr();
    edges.receiver = to.data_ptr();
    edges.index_bits = receiver.scalar_type() == ScalarType::Int ? 32 : 64;
    const auto array = [&](std::int64_t count) { return empty_of(receiver, ScalarType::Int, {count}); };
    Index index{array(receivers + 1), array(edges.edges), array(edges.edges), empty_of(receiver, ScalarType::Long, {2})};
    if (device.index() < 0) {
        build_on_host(edges, index);
    } else {
        build_on_device(edges, index, receiver, device.stream());
    }
    return index;
}

}  // namespace
}  // namespace flashtp::torch_operators

STABLE_TORCH_LIBRARY_FRAGMENT(flashtp, library) {
    library.def(
        "receiver_index(Tensor receiver, Tensor sender, SymInt receivers, SymInt senders) -> (Tensor, Tensor, Tensor, Tensor)");
}
STABLE_TORCH_LIBRARY_IMPL(flashtp, CPU, library) {
    library.impl("receiver_index", TORCH_BOX(&flashtp::torch_operators::receiver_index));
}
STABLE_TORCH_LIBRARY_IMPL(flashtp, CUDA, library) {
    library.impl("receiver_index", TORCH_BOX(&flashtp::torch_operators::receiver_index));
}
