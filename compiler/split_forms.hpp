// Cuts a program where numbers of an edge that no channel indexes, linear forms in its harmonics above all, meet what channels index.
#pragma once

#include "compiler/split_layer.hpp"
#include "ir/kernel.hpp"

namespace flashtp {

/// `before` makes these numbers and leaves those that others read in one tile; `main` is the rest. Operands keep their numbers in `main`;
/// `before` has all inputs, so that it is a convolution where the whole program is one. Without such numbers `before` is empty.
LayerSplit split_forms(const EdgeProgram&);
/// Whether the program finds such numbers in a tile.
bool reads_forms(const EdgeProgram&);

/// The kernel of `before` in vector instructions, which leave several numbers at a time.
Kernel in_lanes(Kernel);

}  // namespace flashtp
