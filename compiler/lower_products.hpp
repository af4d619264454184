// Matrix products over the edges of a tile: what lies on either side of a convolution whose weights are made by a layer.
#pragma once

#include "compiler/lower.hpp"

namespace flashtp {

/// A kernel over edges for a program whose statements have three axes between them (edges, hidden channels, weights) and whose
/// values lack one each: docs/design/fused-radial.md. `convolution`: positions are counted in the order of receivers.
Kernel lower_products(const EdgeProgram&, const Schedule&, const Target&, const KernelInfo&, bool convolution);

}  // namespace flashtp
