// Edges grouped by receiver, found again: all layers that are given the same edges share one index. receiver_index.py is the same for
// a torch that this library is not built for.
#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <cstdint>

namespace flashtp::torch_operators {

/// row_ptr, sender and edge of flashtp::receiver_index. `edge` is empty where the edges are sorted by receiver: kernels then read edge
/// rows in their order, which is faster.
///
/// The index is kept as long as the memory of receiver and sender is, and found again for tensors that are the same part of the same
/// memory, unless they were changed in place meanwhile. A row out of range is an error; on a GPU finding out waits for it once for
/// each list of edges, unless FLASHTP_CHECK_EDGES is 0. `by_sender`: edges of one receiver are in the order of their senders, not in
/// the order they have here.
std::array<at::Tensor, 3> receiver_index(const at::Tensor& receiver, const at::Tensor& sender, std::int64_t receivers,
                                         std::int64_t senders, bool by_sender);

}  // namespace flashtp::torch_operators
