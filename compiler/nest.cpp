#include "compiler/nest.hpp"

#include <bit>

#include "ir/error.hpp"

namespace flashtp {

namespace {

template <class Visit>
void for_each_use(const Statement& s, Visit visit) {
    visit(s.dst);
    visit(s.a);
    if (s.b) visit(*s.b);
}

template <class Visit>
void for_each_source(const Statement& s, Visit visit) {
    visit(s.a);
    if (s.b) visit(*s.b);
}

}  // namespace

Nest::Nest(EdgeProgram restricted, const Task& task)
    : program_(std::move(restricted)), task_(task), classes_(axis_classes(program_)), places_(program_.values.size()) {
    place_values();
    find_effective_loops();
    check();
}

int Nest::find_loop(LoopKind kind, int axis) const {
    for (int i = 0; i < loops(); ++i)
        if (task_.loops[i].kind == kind && task_.loops[i].axis == axis) return i;
    return -1;
}

bool Nest::is_lane_axis(ValueId value, int axis) const { return task_.lane_axis >= 0 && axis_class(value, axis) == task_.lane_axis; }

bool Nest::is_spread_axis(ValueId value, int axis) const {
    return task_.spread_axis >= 0 && axis_class(value, axis) == task_.spread_axis;
}

// Senders are gathered edge by edge, so their rows are read and written inside the edge loop.
LoopMask Nest::row_loops(Row row) const {
    const int receiver = find_loop(LoopKind::receiver), edge = find_loop(LoopKind::edge);
    const LoopMask receivers = receiver >= 0 ? LoopMask{1} << receiver : 0, edges = edge >= 0 ? LoopMask{1} << edge : 0;
    switch (row) {
        case Row::edge:
        case Row::sender: return receivers | edges;
        case Row::receiver: return receivers ? receivers : edges;
        case Row::shared: return 0;
    }
    return 0;
}

// An axis that is spread is one of the lanes' to values that have it alone.
void Nest::place_axes(ValueId v) {
    ValuePlace& place = places_[v];
    const int axes = static_cast<int>(program_.values[v].extents.size());
    const int chunk = find_loop(LoopKind::chunk);
    for (int axis = 0; axis < axes; ++axis) {
        place.spread = axes == 1 && is_spread_axis(v, axis);
        if (place.spread) continue;
        if (is_lane_axis(v, axis)) {
            place.lane = true;
            if (chunk >= 0) place.loops |= LoopMask{1} << chunk;
            continue;
        }
        const int loop = find_loop(LoopKind::axis, axis_class(v, axis));
        if (loop < 0) internal_error("no loop for axis {} of {} in\n{}", axis, program_.values[v].name, to_string(program_));
        place.loops |= LoopMask{1} << loop;
    }
}

void Nest::place_values() {
    for (const Statement& s : program_.statements) {
        places_[s.dst.value].written = true;
        for_each_source(s, [&](const Use& use) { places_[use.value].read = true; });
    }
    for (ValueId v = 0; v < static_cast<ValueId>(program_.values.size()); ++v) {
        ValuePlace& place = places_[v];
        if (!place.read && !place.written) continue;
        place.loops = row_loops(program_.values[v].row);
        place_axes(v);
        place.depth = std::bit_width(place.loops);
    }
    for (const Statement& s : program_.statements)
        if (is_lane(s) && !places_[s.dst.value].lane && !places_[s.dst.value].spread) places_[s.dst.value].lane_sum = true;
    keep_partial();
}

// Linear forms commute with the sum over lanes, so they may come first where no statement without lanes adds to them as well.
bool Nest::stays_partial(ValueId value) const {
    const ValuePlace& place = places_[value];
    if (!place.lane_sum || program_.values[value].binding) return false;
    const auto is_form = [&](const Statement& s) {
        return !s.b && program_.is_output(s.dst.value) && places_[s.dst.value].loops == place.loops && places_[s.dst.value].depth == place.depth;
    };
    for (const Statement& s : program_.statements) {
        const bool reads = s.a.value == value || (s.b && s.b->value == value);
        if (reads && !is_form(s)) return false;
    }
    return true;
}

void Nest::keep_partial() {
    std::vector<bool> partial;
    for (ValueId v = 0; v < static_cast<ValueId>(places_.size()); ++v) partial.push_back(stays_partial(v));
    for (bool changed = true; changed;) {
        changed = false;
        std::vector<bool> added(places_.size(), false);  // to by a statement without lanes
        for (const Statement& s : program_.statements) added[s.dst.value] = added[s.dst.value] || !(is_lane(s) || partial[s.a.value]);
        for (const Statement& s : program_.statements)
            if (partial[s.a.value] && added[s.dst.value]) partial[s.a.value] = false, changed = true;
    }
    for (const Statement& s : program_.statements)
        if (partial[s.a.value]) places_[s.a.value].partial = places_[s.dst.value].lane_sum = true;
}

int Nest::depth_of(const Statement& s) const {
    int depth = 0;
    for_each_use(s, [&](const Use& use) { depth = std::max(depth, places_[use.value].depth); });
    return depth;
}

bool Nest::has_lane(const Statement& s) const {
    bool lane = false;
    for_each_use(s, [&](const Use& use) { lane |= places_[use.value].lane; });
    return lane;
}

bool Nest::has_spread(const Statement& s) const {
    bool spread = false;
    for_each_use(s, [&](const Use& use) { spread |= places_[use.value].spread; });
    return spread;
}

bool Nest::is_lane(const Statement& s) const {
    bool partial = false;
    for_each_use(s, [&](const Use& use) { partial |= places_[use.value].partial; });
    return partial || has_lane(s) || has_spread(s);
}
bool Nest::is_spread(const Statement& s) const { return has_spread(s) && !has_lane(s); }

LoopMask Nest::missing_loops(ValueId value) const {
    const ValuePlace& place = places_[value];
    return ((LoopMask{1} << place.depth) - 1) & ~place.loops;
}

void Nest::find_effective_loops() {
    for (ValueId v = 0; v < static_cast<ValueId>(places_.size()); ++v)
        if (!places_[v].written) places_[v].effective = places_[v].loops, places_[v].effective_lane = places_[v].lane;
    for (const Statement& s : program_.statements) {
        ValuePlace& dst = places_[s.dst.value];
        // A label that only dst has is a broadcast: every instance is written once.
        dst.effective |= dst.loops;
        dst.effective_lane |= dst.lane;
        for_each_source(s, [&](const Use& use) {
            dst.effective |= places_[use.value].effective;
            dst.effective_lane |= places_[use.value].effective_lane;
        });
    }
}

// Every term of a product involves all of its labels, so whatever reaches an output runs over every loop around it exactly once.
void Nest::check() const {
    if (task_.spread_axis >= 0 && find_loop(LoopKind::axis, task_.spread_axis) != loops() - 1)
        internal_error("axis {}, which is spread, is not the innermost loop's in\n{}", task_.spread_axis, to_string(program_));
    for (const Statement& s : program_.statements) {
        if (has_spread(s) && has_lane(s) && depth_of(s) != loops())
            internal_error("a spread value meets one of the lanes outside of its axis' loop in\n{}", to_string(program_));
        const ValuePlace& dst = places_[s.dst.value];
        if (!program_.is_output(s.dst.value)) continue;
        const LoopMask around = (LoopMask{1} << depth_of(s)) - 1;
        LoopMask covered = dst.loops;
        for_each_source(s, [&](const Use& use) { covered |= places_[use.value].effective; });
        if (around & ~covered)
            internal_error("{} would be counted once a step of a loop it does not depend on in\n{}",
                           program_.values[s.dst.value].name, to_string(program_));
    }
}

}  // namespace flashtp
