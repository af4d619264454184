// A task's loop nest: at which depth every value lives, what is summed where, and how each output leaves. All of it follows from
// rows, labels and writers; nothing here is a decision.
#pragma once

#include <cstdint>
#include <vector>

#include "ir/edge_program.hpp"
#include "ir/schedule.hpp"

namespace flashtp {

/// Loops of a task as bits, outermost first; the lanes are one more index, without a depth of its own.
using LoopMask = std::uint32_t;

/// Where a value stands in the nest of a task.
struct ValuePlace {
    LoopMask loops = 0;      ///< loops that tell its instances apart
    int depth = 0;           ///< 1 + the deepest of these; its registers live in the body of that loop
    bool lane = false;       ///< one number a lane and channel copy
    bool spread = false;     ///< one number a lane of the axis that the task spreads; within that axis' loop, one lane's
    bool lane_sum = false;   ///< written by lane statements but not indexed by lanes: partial sums until they are added up
    bool partial = false;    ///< such sums that are never added up: linear forms in them are, which are fewer
    bool read = false, written = false;
    /// Loops its sum really runs over or is indexed by: a statement whose sources lack one would be counted several times.
    LoopMask effective = 0;
    bool effective_lane = false;
};

/// The restricted program of a task with its loops.
class Nest {
  public:
    /// Throws InternalError, with the program, when the loops can't compute it in one sweep.
    Nest(EdgeProgram restricted, const Task& task);

    const EdgeProgram& program() const { return program_; }
    const Task& task() const { return task_; }
    const ValuePlace& place(ValueId value) const { return places_[value]; }
    int loops() const { return static_cast<int>(task_.loops.size()); }

    /// Depth of the body a statement runs in, and whether it involves lanes.
    int depth_of(const Statement&) const;
    bool is_lane(const Statement&) const;
    /// Class of a value's axis, as in Task.
    int axis_class(ValueId value, int axis) const { return classes_.of[value][axis]; }
    std::int64_t axis_extent(int axis_class) const { return classes_.extent[axis_class]; }
    /// The position of a loop of that kind (and class), or -1.
    int find_loop(LoopKind kind, int axis = -1) const;
    /// Loops outside the value's own depth that it is not indexed by: its sum is completed in memory.
    LoopMask missing_loops(ValueId value) const;
    bool is_lane_axis(ValueId value, int axis) const;
    bool is_spread_axis(ValueId value, int axis) const;
    /// Whether its lanes are those of spread values.
    bool is_spread(const Statement&) const;

  private:
    bool has_lane(const Statement&) const;
    bool has_spread(const Statement&) const;
    void place_axes(ValueId);
    LoopMask row_loops(Row row) const;
    void place_values();
    void keep_partial();
    bool stays_partial(ValueId value) const;
    void find_effective_loops();
    void check() const;

    EdgeProgram program_;
    const Task& task_;
    AxisClasses classes_;
    std::vector<ValuePlace> places_;
};

}  // namespace flashtp
