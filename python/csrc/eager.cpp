// The call that modules make in eager mode: all of it in C++, and the problem as a number of this process. What is traced calls
// flashtp::receiver_index and flashtp::tensor_product, as its graph may outlive the process.
#include <torch/library.h>

#include "autograd.hpp"
#include "index_cache.hpp"

namespace flashtp::torch_operators {
at::Tensor eager_product(at::TensorList operands, const std::optional<at::Tensor>& receiver, const std::optional<at::Tensor>& sender,
                         std::int64_t receivers, std::int64_t problem, bool by_sender) {
    TORCH_CHECK_VALUE(operands.size() >= 2, "flashtp: there are fewer than two operands");
    if (!receiver && !sender) return tensor_product(operands, {}, {problem, 0, 1, 0})[0];
    TORCH_CHECK_VALUE(receiver && sender, "flashtp: ", receiver ? "sender" : "receiver", " is None; it must be one row number an edge");
    const at::Tensor& x = operands[0];
    TORCH_CHECK_VALUE(x.dim() == 2, "flashtp: x has the shape ", x.sizes(), "; it must be [senders, irreps_in1.dim]");
    const std::int64_t senders = x.size(0);
    const auto index = receiver_index(*receiver, *sender, receivers == as_many_as_senders ? senders : receivers, senders, by_sender);
    return tensor_product(operands, index, {problem, 0, 1, 0})[0];
}

}  // namespace flashtp::torch_operators

TORCH_LIBRARY_FRAGMENT(flashtp, library) {
    library.def("eager_product(Tensor[] operands, Tensor? receiver, Tensor? sender, int num_out, int problem, bool by_sender) -> Tensor",
                flashtp::torch_operators::eager_product);
}
