// From what the user asks for to the exact algebra.
#pragma once

#include "ir/path_program.hpp"
#include "ir/problem.hpp"

namespace flashtp {

/// The forward program of a valid problem (others throw, as `validate` does). Operands are x, y, w (if there are weights) and z.
/// A convolution reads x by sender and adds z by receiver; otherwise every row is its own edge. Instructions that contribute
/// nothing (zero coefficient, zero extent) have no path, but their weights keep their places in w.
PathProgram expand_paths(const Problem&);

}  // namespace flashtp
