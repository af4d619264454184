// Tangents of an EdgeProgram.
#pragma once

#include <string>
#include <vector>

#include "ir/edge_program.hpp"

namespace flashtp {

/// Tangents of every output (outputs t_<output>) for given tangents of the inputs named in `directions` (inputs t_<input>).
/// The primal outputs stay; keep_outputs drops what is not asked for.
EdgeProgram linearize(const EdgeProgram&, const std::vector<std::string>& directions);

}  // namespace flashtp
