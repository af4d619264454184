// Paths for the channels of a second input that has few.
#pragma once

#include "ir/path_program.hpp"

namespace flashtp {

/// The forward program of a batch with a path for every channel of the second input, where there are few and the first input's channels
/// are the only other axis (uvuv, uvu), unless a hidden layer makes the weights: channels of the first input are then the only axis, so that one task can have all paths, with
/// gradients of its rows and weights in registers.
PathProgram unroll_paths(const PathProgram&);

}  // namespace flashtp
