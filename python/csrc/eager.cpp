// The call that modules make in eager mode: all of it in C++, and the problem as a number of this process. What is traced calls
// flashtp::receiver_index and flashtp::tensor_product, as its graph may outlive the process.
#include <torch/library.h>

#include "autograd.hpp"
#include "index_cache.hpp"

namespace flashtp::torch_operators {
namespace {

std::int64_t senders_of(const at::Tensor& x) {
    TORCH_CHECK_VALUE(x.dim() == 2, "flashtp: x has the shape ", x.sizes(), "; it must be [senders, irreps_in1.dim]");
    return x.size(0);
}

}  // namespace

at::Tensor eager_product(const at::Tensor& x, const at::Tensor& y, const std::optional<at::Tensor>& w,
                         const std::optional<at::Tensor>& receiver, const std::optional<at::Tensor>& sender,
                         std::int64_t receivers, std::int64_t problem, bool by_sender) {
    std::array<at::Tensor, 3> operands{x, y}, index;
    if (w) operands[2] = *w;
    const at::TensorList given(operands.data(), w ? 3 : 2);
    if (!receiver && !sender) return tensor_product(given, {}, {problem, 0, 1, 0})[0];
    TORCH_CHECK_VALUE(receiver && sender, "flashtp: ", receiver ? "sender" : "receiver", " is None; it must be one row number an edge");
    const std::int64_t senders = senders_of(x);
    index = receiver_index(*receiver, *sender, receivers == as_many_as_senders ? senders : receivers, senders, by_sender);
    return tensor_product(given, index, {problem, 0, 1, 0})[0];
}

namespace {

/// The same of any list of operands, for problems that take more.
at::Tensor eager_operands(at::TensorList operands, const at::Tensor& receiver, const at::Tensor& sender, std::int64_t receivers,
                          std::int64_t problem, bool by_sender) {
    const std::int64_t senders = senders_of(operands[0]);
    const auto index = receiver_index(receiver, sender, receivers == as_many_as_senders ? senders : receivers, senders, by_sender);
    return tensor_product(operands, index, {problem, 0, 1, 0})[0];
}

}  // namespace
}  // namespace flashtp::torch_operators

TORCH_LIBRARY_FRAGMENT(flashtp, library) {
    library.def(
        "eager_product(Tensor x, Tensor y, Tensor? w, Tensor? receiver, Tensor? sender, int num_out, int problem, bool by_sender) "
        "-> Tensor",
        flashtp::torch_operators::eager_product);
    library.def(
        "eager_operands(Tensor[] operands, Tensor receiver, Tensor sender, int num_out, int problem, bool by_sender) -> Tensor",
        flashtp::torch_operators::eager_operands);
}
