// Which paths share straight-line code, and which axis the lanes run over.
#pragma once

#include <optional>
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

/// Groups of paths that read the same segment through their lane axis, in order of first appearance. The lanes take a path's longest
/// axis, or from `contiguous_from` channels on the one its weight varies fastest in, if the output has it.
std::vector<PathGroup> group_paths(const PathProgram& paths, const EdgeProgram& program, std::int64_t contiguous_from);

/// Splits a group in at most `parts` of similar cost, never between paths that share products.
std::vector<PathGroup> split_group(const PathGroup& group, const PathProgram& paths, const EdgeProgram& program, int parts);

/// All paths of two groups as one, where the channels of all of them are one axis.
std::optional<PathGroup> join_groups(const PathGroup&, const PathGroup&, const PathProgram& paths, const EdgeProgram& program);

/// What a task of these paths costs: multiply-adds a channel, and the registers its inputs and outputs take at most, those that
/// every channel copy has (`lane`) and those it has once (`once`).
struct GroupCost {
    std::int64_t operations = 0, lane_registers = 0, once_registers = 0;

    std::int64_t registers(std::int64_t copies) const { return once_registers + copies * lane_registers; }
};
GroupCost cost_of(const PathGroup& group, const EdgeProgram& program);

/// Whether every statement of values that have one of two axes (classes of `part`) has a value with both: a step of a loop over one of
/// them may then take its numbers from a lane.
bool can_spread(const EdgeProgram& part, int lane_axis, int axis);

}  // namespace flashtp
