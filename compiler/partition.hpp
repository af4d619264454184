// Which paths share straight-line code, and which axis the lanes run over.
#pragma once

#include <vector>

#include "ir/edge_program.hpp"
#include "ir/path_program.hpp"

namespace flashtp {

/// Paths whose axes are all one loop (or none) can share a task; any other path is a task of its own.
struct PathGroup {
    std::vector<int> paths;          ///< ordered by the second input's segment, so that products are shared while they live
    int lane_axis = -1;              ///< class of the restricted program; -1: no axis
    std::int64_t lane_extent = 1;
    std::vector<int> serial_axes;    ///< the other classes, in the order of their loops
    bool single_axis() const { return serial_axes.empty(); }
};

/// Groups of paths that read the same segment through their lane axis, in order of first appearance.
std::vector<PathGroup> group_paths(const PathProgram& paths, const EdgeProgram& program);

/// Splits a group in at most `parts` of similar cost, never between paths that share products.
std::vector<PathGroup> split_group(const PathGroup& group, const PathProgram& paths, const EdgeProgram& program, int parts);

/// Multiply-adds a channel of a group in its program, and the registers of its accumulators a channel.
struct GroupCost {
    std::int64_t operations = 0, accumulators = 0, inputs = 0;
};
GroupCost cost_of(const PathGroup& group, const EdgeProgram& program);

}  // namespace flashtp
