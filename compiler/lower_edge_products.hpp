// Products of a radial layer over edges in global memory, for GPUs with tensor cores.
#pragma once

#include <vector>

#include "compiler/lower.hpp"
#include "compiler/tile_products.hpp"
#include "ir/kernel.hpp"

namespace flashtp {

/// The kernel that makes tiles, in front of the convolution.
Kernel lower_tile_products(const EdgeProgram& before, const std::vector<TileTerm>&, const Target&, const KernelInfo&);
/// The kernels behind it: one that adds to the layer's rows, and one that adds to its matrices; those of them that have something to do.
std::vector<Kernel> lower_returned_products(const EdgeProgram& after, const std::vector<TileTerm>&, const Target&, const KernelInfo&);

}  // namespace flashtp
