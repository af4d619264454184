// An activation on torch's own C++ tensors, for models that differentiate twice. Built for one torch version.
#pragma once

#include <ATen/core/Tensor.h>

#include "exported.hpp"

namespace flashtp::torch_operators {

/// x / (1 + exp(-x)). The first derivative is one call of torch and the second six; torch's own are seven and thirteen.
FLASHTP_TORCH_EXPORT at::Tensor silu(const at::Tensor& x);

}  // namespace flashtp::torch_operators
