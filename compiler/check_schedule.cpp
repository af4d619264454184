#include "compiler/check_schedule.hpp"

#include <algorithm>
#include <cstdint>
#include <map>
#include <set>
#include <vector>

#include "compiler/keep_outputs.hpp"
#include "compiler/partition.hpp"
#include "ir/error.hpp"

namespace flashtp {

namespace {

/// Channels of a path that a task computes; a path without a lane axis counts as one channel.
struct Channels {
    std::int64_t begin = 0, end = 1, extent = 1;  ///< `extent`: of the lane axis
};

Channels channels_of(const Task& task, std::size_t number, const EdgeProgram& program) {
    const AxisClasses classes = axis_classes(restrict_to_paths(program, task.paths));
    const int axes = static_cast<int>(classes.extent.size());
    if (task.lane_axis >= axes) user_error("schedule task {}: lane_axis = {}, but its paths have {} axes", number, task.lane_axis, axes);
    for (int axis = 0; axis < axes; ++axis)
        if (axis != task.lane_axis && !std::ranges::count(task.loops, Loop{LoopKind::axis, axis}))
            user_error("schedule task {}: loops: axis {} is not the lane axis and needs a loop", number, axis);
    if (task.lane_axis < 0) return {};
    const std::int64_t extent = classes.extent[task.lane_axis];
    if (task.channel_end > extent) user_error("schedule task {}: channel_end = {}, but its lane axis has {} channels", number, task.channel_end, extent);
    return {task.channel_begin, task.channel_end, extent};
}

void check_spread(const Task& task, std::size_t number, const EdgeProgram& program, Platform platform) {
    if (task.spread_axis < 0) return;
    const auto require = [&](bool holds, const char* rule) {
        if (!holds) user_error("schedule task {}: spread_axis = {}: {}", number, task.spread_axis, rule);
    };
    require(platform == Platform::cuda, "only lanes of a GPU read each other's registers");
    require(task.lane_axis >= 0 && !task.loops.empty() && task.loops.back() == Loop{LoopKind::axis, task.spread_axis},
            "the innermost loop must be its own, and the lanes have another axis");
    require(can_spread(restrict_to_paths(program, task.paths), task.lane_axis, task.spread_axis),
            "something has this axis, and something else the lanes', in a statement where nothing has both");
}

void check_path(int path, std::vector<Channels> computed) {
    std::ranges::sort(computed, {}, &Channels::begin);
    std::int64_t next = 0;
    for (const Channels& channels : computed) {
        if (channels.begin < next) user_error("schedule: channel {} of path {} is in two tasks", channels.begin, path);
        if (channels.begin > next) break;
        next = channels.end;
    }
    if (computed.empty() || next < computed.back().extent) user_error("schedule: channel {} of path {} is in no task", next, path);
}

}  // namespace

void check_schedule(const Schedule& schedule, const EdgeProgram& program, Platform platform) {
    std::map<int, std::vector<Channels>> computed;  // by path
    for (std::size_t number = 0; number < schedule.tasks.size(); ++number) {
        const Task& task = schedule.tasks[number];
        check_spread(task, number, program, platform);
        const Channels channels = channels_of(task, number, program);
        for (const int path : task.paths) computed[path].push_back(channels);
    }
    std::set<int> paths;
    for (const Statement& s : program.statements)
        if (s.path >= 0) paths.insert(s.path);
    for (const int path : paths) check_path(path, computed[path]);
}

}  // namespace flashtp
