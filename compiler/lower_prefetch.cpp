// Prefetches: the rows that the task will touch some edges later. Hardware does not find them: a task reads short slices, far apart,
// of every row.
#include <algorithm>

#include "compiler/lower_task.hpp"

namespace flashtp {

namespace {

struct Run {
    OperandId operand;
    Row row;
    bool write;
    Affine first;  ///< within the row
    std::int64_t count;
};

// Neighbours in a row become one run: the harmonics of several l.
void add_run(std::vector<Run>& runs, const Run& run) {
    for (Run& known : runs) {
        if (known.operand != run.operand || known.first + Affine(known.count) != run.first) continue;
        known.count += run.count;
        return;
    }
    runs.push_back(run);
}

}  // namespace

/// The lanes' slice as runs of consecutive elements: one, or one a component. None where other axes than the lanes' move within it.
std::vector<std::pair<Affine, std::int64_t>> TaskLowering::slices(ValueId v) const {
    const Value& value = program_.values[v];
    const View& view = value.binding->view;
    const std::int64_t components = value.components;
    std::vector<std::pair<Affine, std::int64_t>> runs;
    if (view.pair || view.axes.size() > 1) return runs;
    const bool lanes = !view.axes.empty();
    if (lanes && !nest_.is_lane_axis(v, 0)) return runs;
    const std::int64_t stride = lanes ? view.axes[0].stride : components, channels = lanes ? chunk_channels_ : 1;
    const Affine first = Affine(view.offset) + (lanes ? Affine::of(channel_, stride) : Affine(0));
    if (stride == components && (components == 1 || view.component_stride == 1)) {
        runs.emplace_back(first, channels * components);
    } else if (stride == 1) {
        for (std::int64_t k = 0; k < components; ++k) runs.emplace_back(first + Affine(k * view.component_stride), channels);
    }
    return runs;
}

void TaskLowering::prefetch_rows(const std::vector<int>& statements, const Affine& position, const Affine& last, Block& block) {
    std::vector<Run> runs;
    std::vector<bool> seen(program_.values.size(), false);
    const auto look = [&](ValueId v) {
        const Value& value = program_.values[v];
        const bool by_edge = value.row == Row::edge || value.row == Row::sender || (value.row == Row::receiver && receiver_ < 0);
        if (seen[v] || !value.binding || !by_edge || program_.operands[value.binding->operand].tile) return;
        seen[v] = true;
        for (const auto& [first, count] : slices(v)) add_run(runs, {value.binding->operand, value.row, program_.is_output(v), first, count});
    };
    for (const int i : statements) {
        const Statement& s = program_.statements[i];
        look(s.dst.value);
        look(s.a.value);
        if (s.b) look(s.b->value);
    }
    if (runs.empty()) return;
    const IntId ahead = builder_.new_int("ahead");
    emit(block, IntMin{ahead, position + Affine(schedule_.prefetch), last});
    IntId edge = ahead, sender = ahead;
    if (receiver_ >= 0) {
        edge = builder_.new_int("e_ahead"), sender = builder_.new_int("s_ahead");
        emit(block, IntLoad{edge, buffers_.edge(), Affine::of(ahead), true});
        emit(block, IntLoad{sender, buffers_.sender(), Affine::of(ahead)});
    }
    for (const Run& run : runs) {
        const Affine row = Affine::of(run.row == Row::sender ? sender : edge, program_.operands[run.operand].width);
        emit(block, Prefetch{buffers_.operand(run.operand), row + run.first, run.count, run.write});
    }
}

}  // namespace flashtp
