// Smaller programs: without outputs, paths or inputs, and without the work that only they needed.
#pragma once

#include <string>
#include <vector>

#include "ir/edge_program.hpp"

namespace flashtp {

/// Drops what no output needs and what is zero because nothing writes it, component by component. Operands stay; intermediate
/// values lose the components that have gone.
EdgeProgram without_dead_code(EdgeProgram);

/// Drops the output operands not named, and the work that only they need. Inputs are the signature: they stay even if unread.
EdgeProgram keep_outputs(const EdgeProgram&, const std::vector<std::string>& names);

/// Drops input operands that are zero, and every product with them. Outputs stay.
EdgeProgram without_inputs(const EdgeProgram&, const std::vector<std::string>& absent);

/// The part of the program that belongs to some paths, statements in the same order. Every output is linear in the coefficients
/// of each path, at any order, so the parts of a partition of the paths add up to the whole. Operands all stay, so their ids
/// hold in every part.
EdgeProgram restrict_to_paths(const EdgeProgram&, const std::vector<int>& paths);

}  // namespace flashtp
