// One run of a compiled program on tensors.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "exported.hpp"
#include "programs.hpp"
#include "tensors.hpp"

namespace flashtp::torch_operators {

/// The outputs of a request, in the order of their names. `index` is row_ptr, sender and edge as flashtp::receiver_index makes them,
/// or nothing for a plain batch. Throws std::invalid_argument for operands that do not fit, std::runtime_error where the library
/// fails.
FLASHTP_TORCH_EXPORT std::vector<Tensor> run_request(const Request&, std::span<const TensorView> operands,
                                                     std::span<const TensorView> index);

/// How many requests ran in this process.
std::int64_t launch_count();

}  // namespace flashtp::torch_operators
