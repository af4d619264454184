// The operator on torch's own C++ tensors, with derivatives. Built for one torch version.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <limits>
#include <optional>
#include <vector>

#include "exported.hpp"
#include "programs.hpp"

namespace flashtp::torch_operators {

/// The outputs of a request. Without a detour through torch's dispatcher where nothing but autograd looks on.
std::vector<at::Tensor> tensor_product(at::TensorList operands, at::TensorList index, const Request&);

/// Whether tensors are ordinary ones, on a CPU or a CUDA device, and nothing but autograd looks on: no tracing, no transform, no
/// subclass, no autocast.
FLASHTP_TORCH_EXPORT bool is_plain(at::TensorList);

constexpr std::int64_t as_many_as_senders = std::numeric_limits<std::int64_t>::min();

/// z of a problem's operands; a plain batch without receivers and senders. `receivers` may be as_many_as_senders.
/// `by_sender`: the order of a receiver's edges does not matter.
FLASHTP_TORCH_EXPORT at::Tensor eager_product(at::TensorList operands, const std::optional<at::Tensor>& receiver,
                                              const std::optional<at::Tensor>& sender, std::int64_t receivers, std::int64_t problem,
                                              bool by_sender);

}  // namespace flashtp::torch_operators
