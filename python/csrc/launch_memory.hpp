// What launches of deterministic problems on a GPU take besides operands and the receiver index.
#pragma once

#include <vector>

#include "programs.hpp"
#include "tensors.hpp"

namespace flashtp::torch_operators {

/// Puts memory for parts of sums, and the edges by sender, into the graph of a launch on the current device. The tensors live until it is
/// enqueued; there are none for other problems. The edges are grouped anew in each call, by a few short kernels.
std::vector<Tensor> add_launch_memory(flashtp_graph& graph, const CompiledProgram&, Device);

}  // namespace flashtp::torch_operators
