// Where a program is cut into kernels that run one after the other.
#pragma once

#include <vector>

#include "compiler/choose_schedule.hpp"
#include "compiler/lowering_options.hpp"
#include "compiler/split_layer.hpp"
#include "compiler/tile_products.hpp"
#include "ir/edge_program.hpp"
#include "ir/problem.hpp"
#include "ir/schedule.hpp"
#include "ir/target.hpp"

namespace flashtp {

/// Who makes the weights of a radial layer: whoever uses them, where they are used; kernels in front, for many edges at a time (kernels
/// behind then take their gradients); or the convolution's own warps, for a few edges of theirs.
enum class Weights { where_used, between_kernels, within_warps };

/// A program whole, or cut at the weights of a layer or at forms of an edge.
struct CutProgram {
    Weights weights = Weights::where_used;
    LayerSplit split;
    std::vector<TileTerm> terms = {};  ///< on GPUs
};

/// The ways to run a program, the best one first and never none. Throws UserError where a given schedule fits none of them.
std::vector<CutProgram> ways_to_cut(const EdgeProgram&, const Problem&, const Target&, const LoweringOptions&);

/// Whether a kernel in front can make what belongs to edges alone.
bool can_have_forms(const EdgeProgram&, const Target&);
/// Whether warps with this schedule can make weights.
bool fits_warps(const Schedule&);
/// Knobs of the convolution in a cut program.
ScheduleKnobs knobs_for(const CutProgram&, const Target&, const ScheduleKnobs&);

}  // namespace flashtp
