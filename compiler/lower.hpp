// EdgeProgram + Schedule -> Kernels.
#pragma once

#include <string>
#include <vector>

#include "compiler/tile_products.hpp"
#include "ir/edge_program.hpp"
#include "ir/kernel.hpp"
#include "ir/schedule.hpp"

namespace flashtp {

struct KernelInfo {
    std::string name;
    std::vector<std::string> header;      ///< printed above the code
    std::vector<std::string> path_names;  ///< by path id, for comments
    DType dtype = DType::float32;         ///< of operands
    DType compute = DType::float32;       ///< of registers
};

/// A kernel without tasks: its names, target, type of registers and lanes.
Kernel empty_kernel(const KernelInfo&, const Target&);

/// Takes no decision: loops, placements and copies follow from the schedule and the program. The kernels run one after the other over
/// memory that is zeroed once, before the first: what several of them write, each adds. Parts of sums (compiler/partial_sums.hpp) are
/// operands besides those of the program, and the last kernels add them up.
/// With the product that makes the weights, warps make them in tiles of their own.
std::vector<Kernel> lower_to_kernels(const EdgeProgram&, const Schedule&, const Target&, const KernelInfo&,
                                     const TileTerm* term = nullptr);

}  // namespace flashtp
