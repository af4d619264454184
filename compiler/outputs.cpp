#include "compiler/outputs.hpp"

namespace flashtp {

namespace {

bool disjoint_channels(const Task& a, const Task& b) { return a.channel_end <= b.channel_begin || b.channel_end <= a.channel_begin; }

/// Channels of both are equally far apart and each lies between those of the other, as the columns of a matrix.
bool interleaved(const View& x, const View& y) {
    const auto plain = [](const View& v) { return !v.pair && v.axes.size() == 1 && v.axes[0].stride > 0 && v.component_stride > 0; };
    if (!plain(x) || !plain(y) || x.axes[0].stride != y.axes[0].stride) return false;
    const auto span = [](const View& v) { return (v.components - 1) * v.component_stride + 1; };
    const std::int64_t stride = x.axes[0].stride, ahead = ((y.offset - x.offset) % stride + stride) % stride;
    return ahead >= span(x) && stride - ahead >= span(y);
}

bool owned(Row row) { return row == Row::edge || row == Row::receiver; }

StoreMode mode_of(const std::vector<Nest>& nests, const Written& w, const std::vector<Written>& all, bool one_warp_a_row) {
    const StoreMode met_by_others = one_warp_a_row ? StoreMode::add : StoreMode::atomic;
    const Nest& nest = nests[w.nest];
    const Value& value = nest.program().values[w.value];
    if (!owned(value.row)) return StoreMode::atomic;
    for (const Written& other : all)
        if ((other.nest != w.nest || other.value != w.value) && meet(nests, w, other)) return met_by_others;
    if (chunks_meet(nest, w.value)) return met_by_others;
    return nest.missing_loops(w.value) || value.binding->view.pair ? StoreMode::add : StoreMode::store;
}

}  // namespace

std::vector<Written> written_outputs(const std::vector<Nest>& nests) {
    std::vector<Written> all;
    for (std::size_t n = 0; n < nests.size(); ++n)
        for (ValueId v = 0; v < static_cast<ValueId>(nests[n].program().values.size()); ++v)
            if (nests[n].place(v).written && nests[n].program().is_output(v)) all.push_back({n, v});
    return all;
}

// Whole views are compared: segments are contiguous, so two views overlap where their ranges do, but for those between each other.
// Disjoint pairs share channels.
bool meet(const std::vector<Nest>& nests, const Written& a, const Written& b) {
    const Binding& x = *nests[a.nest].program().values[a.value].binding;
    const Binding& y = *nests[b.nest].program().values[b.value].binding;
    if (x.operand != y.operand || x.view.end() <= y.view.offset || y.view.end() <= x.view.offset || interleaved(x.view, y.view)) return false;
    const bool by_lane =
        nests[a.nest].place(a.value).lane && nests[b.nest].place(b.value).lane && x.view == y.view && !x.view.pair;
    return !(a.nest != b.nest && by_lane && disjoint_channels(nests[a.nest].task(), nests[b.nest].task()));
}

// Those of a pair view may meet in one element, like those of a value without the lanes' axis.
bool chunks_meet(const Nest& nest, ValueId value) {
    return nest.find_loop(LoopKind::chunk) == 0 && ((nest.missing_loops(value) & 1) || nest.program().values[value].binding->view.pair);
}

std::vector<StoreModes> choose_store_modes(const std::vector<Nest>& nests, bool one_warp_a_row) {
    std::vector<StoreModes> modes;
    for (const Nest& nest : nests) modes.emplace_back(nest.program().values.size(), StoreMode::store);
    const std::vector<Written> all = written_outputs(nests);
    for (const Written& w : all) modes[w.nest][w.value] = mode_of(nests, w, all, one_warp_a_row);
    return modes;
}

std::int64_t stored_elements(const std::vector<Nest>& nests, const std::vector<StoreModes>& modes, OperandId operand) {
    std::int64_t count = 0;
    for (const Written& w : written_outputs(nests)) {
        const Value& value = nests[w.nest].program().values[w.value];
        if (value.binding->operand != operand || modes[w.nest][w.value] != StoreMode::store) continue;
        std::int64_t elements = value.components;
        for (int axis = 0; axis < static_cast<int>(value.extents.size()); ++axis)
            elements *= nests[w.nest].is_lane_axis(w.value, axis) ? channels_of(nests[w.nest].task()) : value.extents[axis];
        count += elements;
    }
    return count;
}

std::int64_t channels_of(const Task& task) { return task.channel_end - task.channel_begin; }

}  // namespace flashtp
