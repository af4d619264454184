#include "compiler/partition.hpp"

#include <algorithm>
#include <map>
#include <optional>
#include <tuple>

#include "compiler/keep_outputs.hpp"

namespace flashtp {

namespace {

/// Classes that index what a path multiplies: not those whose sum makes the weights before.
std::vector<bool> channel_classes(const Path& path, const AxisClasses& classes) {
    std::vector<bool> channel;
    for (const std::string& name : classes.name) channel.push_back(path.labels[slot_h].find(name) == std::string::npos);
    return channel;
}

/// The axis in which a matrix of weights is contiguous; -1: there is none.
int contiguous_axis(const EdgeProgram& part, const AxisClasses& classes) {
    for (ValueId v = 0; v < static_cast<ValueId>(part.values.size()); ++v) {
        const Value& value = part.values[v];
        if (!value.binding || value.components != 1 || value.extents.size() < 2) continue;
        for (std::size_t axis = 0; axis < value.extents.size(); ++axis)
            if (value.binding->view.axes[axis].stride == 1) return classes.of[v][axis];
    }
    return -1;
}

// The longest axis feeds the lanes best; among equals the one the weight varies fastest in, which is read contiguously. That one comes
// first where it is long enough and the output has it: else its sums would cross the lanes.
int choose_lane_axis(const Path& path, const EdgeProgram& part, const AxisClasses& classes, std::int64_t contiguous_from) {
    const std::vector<bool> channel = channel_classes(path, classes);
    const int contiguous = contiguous_axis(part, classes);
    if (contiguous >= 0 && classes.extent[contiguous] >= contiguous_from &&
        path.labels[slot_z].find(classes.name[contiguous]) != std::string::npos)
        return contiguous;
    int best = -1;
    for (int c = 0; c < static_cast<int>(classes.extent.size()); ++c)
        if (channel[c] && (best < 0 || classes.extent[c] > classes.extent[best])) best = c;
    if (best < 0) return -1;
    for (ValueId v = 0; v < static_cast<ValueId>(part.values.size()); ++v) {
        const Value& value = part.values[v];
        if (!value.binding || value.binding->view.pair || value.components != 1) continue;
        for (std::size_t axis = 0; axis < value.extents.size(); ++axis) {
            const int c = classes.of[v][axis];
            if (c < 0 || !channel[c] || classes.extent[c] != classes.extent[best]) continue;
            if (value.binding->view.axes[axis].stride == 1) return c;
        }
    }
    return best;
}

// Labels of products first, then those only the weight and the output have: sums over the latter feed the former. The hidden axis
// is innermost: its sum makes the weights that all others read.
std::vector<int> order_serial_axes(const Path& path, const AxisClasses& classes, int lane) {
    const std::vector<bool> channel = channel_classes(path, classes);
    std::vector<std::tuple<bool, bool, int>> order;
    for (int c = 0; c < static_cast<int>(classes.extent.size()); ++c) {
        if (c == lane) continue;
        const bool product = (path.labels[slot_x] + path.labels[slot_y]).find(classes.name[c]) != std::string::npos;
        order.push_back({!channel[c], !product, c});
    }
    std::sort(order.begin(), order.end());
    std::vector<int> axes;
    for (const auto& entry : order) axes.push_back(std::get<2>(entry));
    return axes;
}

// A path that no output of the request needs makes no group.
std::optional<PathGroup> single_path(int path, const PathProgram& paths, const EdgeProgram& program, std::int64_t contiguous_from) {
    const EdgeProgram part = restrict_to_paths(program, {path});
    if (part.statements.empty()) return std::nullopt;
    const AxisClasses classes = axis_classes(part);
    PathGroup group;
    group.paths = {path};
    group.lane_axis = choose_lane_axis(paths.paths[path], part, classes, contiguous_from);
    if (group.lane_axis >= 0) group.lane_extent = classes.extent[group.lane_axis];
    group.serial_axes = order_serial_axes(paths.paths[path], classes, group.lane_axis);
    return group;
}

/// What paths of one group have in common: the segment the lanes read, by channels or by pairs of them, and the number of lanes.
using GroupKey = std::tuple<int, std::int64_t, bool, std::int64_t>;

/// The operand whose channels the lanes run over.
Slot lane_slot(const Path& path) { return !path.labels[slot_x].empty() || path.labels[slot_y].empty() ? slot_x : slot_y; }

GroupKey key_of(const PathGroup& group, const PathProgram& paths) {
    const Path& path = paths.paths[group.paths[0]];
    const Slot slot = lane_slot(path);
    // Lanes that run over the weight and the output only have no segment in common with another path's.
    const bool joined = group.lane_axis < 0 || !path.labels[slot].empty();
    if (!group.single_axis() || !joined) return {-1 - group.paths[0], 0, false, 0};
    return {slot, path.views[slot]->offset, path.views[slot]->pair.has_value(), group.lane_extent};
}

std::int64_t second_offset(int path, const PathProgram& paths) {
    const Path& p = paths.paths[path];
    return p.views[lane_slot(p) == slot_x ? slot_y : slot_x]->offset;
}

// Class numbers belong to the restricted program, so a merged group finds its lane axis anew.
void renumber(PathGroup& group, const PathProgram& paths, const EdgeProgram& program) {
    std::stable_sort(group.paths.begin(), group.paths.end(),
                     [&](int a, int b) { return second_offset(a, paths) < second_offset(b, paths); });
    if (!group.single_axis()) return;
    const AxisClasses classes = axis_classes(restrict_to_paths(program, group.paths));
    group.lane_axis = classes.extent.empty() ? -1 : 0;
}

}  // namespace

std::vector<PathGroup> group_paths(const PathProgram& paths, const EdgeProgram& program, std::int64_t contiguous_from) {
    std::vector<PathGroup> groups;
    std::map<GroupKey, std::size_t> index;
    for (int path = 0; path < static_cast<int>(paths.paths.size()); ++path) {
        std::optional<PathGroup> single = single_path(path, paths, program, contiguous_from);
        if (!single) continue;
        const auto [at, fresh] = index.emplace(key_of(*single, paths), groups.size());
        if (fresh) groups.push_back(std::move(*single));
        else groups[at->second].paths.push_back(path);
    }
    for (PathGroup& group : groups) renumber(group, paths, program);
    return groups;
}

std::optional<PathGroup> join_groups(const PathGroup& a, const PathGroup& b, const PathProgram& paths, const EdgeProgram& program) {
    const bool alike = a.single_axis() && b.single_axis() && a.lane_axis >= 0 && b.lane_axis >= 0 && a.lane_extent == b.lane_extent;
    if (!alike) return std::nullopt;
    PathGroup both = a;
    both.paths.insert(both.paths.end(), b.paths.begin(), b.paths.end());
    if (axis_classes(restrict_to_paths(program, both.paths)).extent.size() != 1) return std::nullopt;
    renumber(both, paths, program);
    return both;
}

std::vector<PathGroup> split_group(const PathGroup& group, const PathProgram& paths, const EdgeProgram& program, int parts) {
    if (parts <= 1 || !group.single_axis()) return {group};
    std::map<std::int64_t, PathGroup> by_second;
    for (const int path : group.paths) {
        PathGroup& part = by_second[second_offset(path, paths)];
        part.paths.push_back(path);
        part.lane_extent = group.lane_extent;
    }
    std::vector<std::pair<std::int64_t, PathGroup>> pieces;
    for (auto& [offset, part] : by_second) {
        (void)offset;
        pieces.emplace_back(cost_of(part, program).operations, std::move(part));
    }
    std::stable_sort(pieces.begin(), pieces.end(), [](const auto& a, const auto& b) { return a.first > b.first; });
    std::vector<std::pair<std::int64_t, PathGroup>> bins(std::min<std::size_t>(parts, pieces.size()));
    for (const auto& [cost, piece] : pieces) {
        auto& bin = *std::min_element(bins.begin(), bins.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
        bin.first += cost;
        bin.second.lane_extent = group.lane_extent;
        bin.second.paths.insert(bin.second.paths.end(), piece.paths.begin(), piece.paths.end());
    }
    std::vector<PathGroup> result;
    for (auto& [cost, bin] : bins) {
        (void)cost;
        std::sort(bin.paths.begin(), bin.paths.end());
        renumber(bin, paths, program);
        result.push_back(std::move(bin));
    }
    return result;
}

bool can_spread(const EdgeProgram& part, int lane_axis, int axis) {
    const AxisClasses classes = axis_classes(part);
    const auto fits = [&](const Statement& s) {
        bool lane = false, spread = false, both = false;
        const auto look = [&](ValueId v) {
            const bool of_lane = std::ranges::count(classes.of[v], lane_axis), of_axis = std::ranges::count(classes.of[v], axis);
            lane |= of_lane, spread |= of_axis, both |= of_lane && of_axis;
        };
        look(s.dst.value), look(s.a.value);
        if (s.b) look(s.b->value);
        return both || !(lane && spread);
    };
    return std::ranges::all_of(part.statements, fits);
}

GroupCost cost_of(const PathGroup& group, const EdgeProgram& program) {
    const EdgeProgram part = restrict_to_paths(program, group.paths);
    GroupCost cost;
    std::vector<bool> counted(part.values.size(), false);
    const auto count = [&](ValueId v) {
        const Value& value = part.values[v];
        // What leaves edge by edge does not stay in registers, unless it is summed over lanes first.
        const bool passes = part.is_output(v) && value.row == Row::edge && !value.extents.empty();
        if (counted[v] || !value.binding || passes) return;
        counted[v] = true;
        (value.extents.empty() ? cost.once_registers : cost.lane_registers) += value.components;
    };
    for (const Statement& s : part.statements) {
        cost.operations += static_cast<std::int64_t>(s.entries.size());
        count(s.dst.value);
        count(s.a.value);
        if (s.b) count(s.b->value);
    }
    return cost;
}

}  // namespace flashtp
