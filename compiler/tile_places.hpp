// Which tiles between kernels may lie in the memory of another one.
#pragma once

#include <cstddef>
#include <vector>

#include "ir/kernel.hpp"

namespace flashtp {

/// Where each tile lies: at its own number, or at that of a tile whose numbers the convolution has copied into its ring before it stores
/// there. A path's weights and their gradients are of one task, and of one edge for one warp at one time.
std::vector<std::size_t> tile_places(const std::vector<Kernel>& kernels, const std::vector<Operand>& tiles);

}  // namespace flashtp
