// The operator on torch's own C++ tensors, with derivatives. Built for one torch version.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "programs.hpp"

namespace flashtp::torch_operators {

/// The outputs of a request. Without a detour through torch's dispatcher where nothing but autograd looks on.
std::vector<at::Tensor> tensor_product(at::TensorList operands, at::TensorList index, const Request&);

/// Whether tensors are ordinary ones, on a CPU or a CUDA device, and nothing but autograd looks on: no tracing, no transform, no
/// subclass, no autocast.
bool is_plain(at::TensorList);

}  // namespace flashtp::torch_operators
