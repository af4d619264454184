// Cuts a program where the layer that makes its weights meets the convolution.
#pragma once

#include <vector>

#include "ir/edge_program.hpp"

namespace flashtp {

/// Run one after the other on the same edges, the parts do what the whole program does. A part without statements has no operands.
struct LayerSplit {
    EdgeProgram before;  ///< makes weights and their tangents
    EdgeProgram main;    ///< the convolution: the program of weights that are given
    EdgeProgram after;   ///< gradients of the layer, from those of the weights
    /// What stands at the cuts, an output of one part and an input of a later one.
    std::vector<Operand> tiles;
};

/// Whether a layer makes the weights.
bool has_layer(const EdgeProgram&);
LayerSplit split_layer(const EdgeProgram&);

}  // namespace flashtp
