// Adjoints of an EdgeProgram.
#pragma once

#include "ir/edge_program.hpp"

namespace flashtp {

/// Adjoints of every input (outputs d_<input>) for given adjoints of the outputs (inputs d_<output>). The primal outputs stay;
/// keep_outputs drops what is not asked for. An input that nothing reads has an adjoint operand too: it is zero.
EdgeProgram reverse(const EdgeProgram&);

}  // namespace flashtp
