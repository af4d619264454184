// The pass list: from a problem and a request to kernels.
#pragma once

#include <vector>

#include "compiler/lowering_options.hpp"
#include "ir/edge_program.hpp"
#include "ir/kernel.hpp"
#include "ir/path_program.hpp"
#include "ir/problem.hpp"
#include "ir/request.hpp"
#include "ir/schedule.hpp"

namespace flashtp {

/// Every level of one request. The kernels run in order; their additions to one output add up.
struct Lowered {
    PathProgram paths;  ///< the forward program; derivative(paths, request) is what the oracle evaluates
    EdgeProgram edge;
    Schedule schedule;
    std::vector<Kernel> kernels;
    std::vector<Operand> tiles;  ///< what kernels hand each other besides operands of the program: rows of a tile's edges, parts of sums
};

/// Every matrix that kernels touch: the program's operands, then the tiles.
std::vector<Operand> operands_and_tiles(const Lowered&);

/// Throws UserError for an invalid request, InternalError (with the IR) for a broken invariant.
Lowered lower(const Problem&, const Request&, const Target&, const LoweringOptions&);

}  // namespace flashtp
