// The program of a request.
#pragma once

#include "ir/edge_program.hpp"
#include "ir/request.hpp"

namespace flashtp {

/// From the forward program to the derivative, outputs and cotangents of a request (names in ir/request.hpp). Absent cotangents
/// are zero and no operands; outputs that nothing adds to stay operands and are zero.
EdgeProgram derivative(const EdgeProgram& forward, const Request&);

}  // namespace flashtp
