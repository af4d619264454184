// The loop over an axis that values without the lane axis have over the lanes, outside of it.
#include <algorithm>

#include "compiler/lower_task.hpp"

namespace flashtp {

TaskLowering::SpreadUses TaskLowering::spread_uses(const std::vector<int>& statements) const {
    std::vector<bool> read(program_.values.size()), written(program_.values.size());
    for (const int i : statements) {
        const Statement& s = program_.statements[static_cast<std::size_t>(i)];
        read[static_cast<std::size_t>(s.a.value)] = true;
        if (s.b) read[static_cast<std::size_t>(s.b->value)] = true;
        written[static_cast<std::size_t>(s.dst.value)] = true;
    }
    SpreadUses uses;
    for (ValueId v = 0; v < static_cast<ValueId>(program_.values.size()); ++v) {
        if (!nest_.place(v).spread) continue;
        if (read[static_cast<std::size_t>(v)]) uses.read.push_back(v);
        if (written[static_cast<std::size_t>(v)]) uses.written.push_back(v);
    }
    return uses;
}

// Components that nothing writes are read all the same.
void TaskLowering::zero_unwritten(const std::vector<ValueId>& values, Block& block) {
    for (const ValueId v : values)
        for (int k = 0; k < program_.values[static_cast<std::size_t>(v)].components && !program_.is_input(v); ++k) {
            auto&& initialized = initialized_[static_cast<std::size_t>(v)][static_cast<std::size_t>(k)];
            for (int copy = 0; copy < spread_copies() && !initialized; ++copy) emit(block, Move{reg(v, k, copy), 0.0});
            initialized = true;
        }
}

// Sums of as many steps as the schedule says are spread together; what is left over of a register's lanes is a group of its own.
void TaskLowering::spread_loop(int depth, const std::vector<int>& statements, Block& block) {
    const std::int64_t together = nest_.task().spread_rows;
    zero_unwritten(spread_uses(statements).read, block);
    for (int copy = 0; copy < spread_copies(); ++copy) {
        const std::int64_t first = std::int64_t{copy} * lanes_, end = std::min(first + lanes_, spread_extent());
        const std::int64_t whole = first + (end - first) / together * together;
        if (whole > first) spread_steps(depth, statements, {first, whole - first, together, copy}, block);
        if (end > whole) spread_steps(depth, statements, {whole, end - whole, end - whole, copy}, block);
    }
}

void TaskLowering::spread_steps(int depth, const std::vector<int>& statements, const SpreadSteps& steps, Block& block) {
    const IntId var = builder_.new_int("a");
    For groups{var, Affine(steps.first), Affine(steps.first + steps.count), steps.step, {}};
    const std::vector<ValueId> written = spread_uses(statements).written;
    std::map<std::pair<ValueId, int>, std::vector<RegId>> sums;  // of a component, by step
    const std::vector<std::vector<bool>> initialized = initialized_;
    const std::vector<bool> loaded = loaded_, stored = stored_;
    for (std::int64_t n = 0; n < steps.step; ++n) {
        initialized_ = initialized, loaded_ = loaded, stored_ = stored;
        for (const ValueId v : written) initialized_[static_cast<std::size_t>(v)].assign(program_.values[static_cast<std::size_t>(v)].components, false);
        const IntId row = builder_.new_int("row");
        emit(groups.body, IntLet{row, Affine::of(var) + Affine(n)});
        axis_[nest_.task().spread_axis] = row;
        spread_step(depth, statements, Affine::of(row) + Affine(-std::int64_t{steps.copy} * lanes_), steps, groups.body);
        for (const ValueId v : written)
            for (int k = 0; k < program_.values[static_cast<std::size_t>(v)].components; ++k)
                if (initialized_[static_cast<std::size_t>(v)][static_cast<std::size_t>(k)]) sums[{v, k}].push_back(of_step_.at(v)[static_cast<std::size_t>(k)]);
    }
    initialized_ = initialized, loaded_ = loaded, stored_ = stored;  // what lives in a step is gone
    for (auto& [component, src] : sums) {
        const RegId dst = reg(component.first, component.second, steps.copy);
        emit(groups.body, SpreadSums{dst, std::move(src), Affine::of(var) + Affine(-std::int64_t{steps.copy} * lanes_)});
    }
    emit(block, std::move(groups));
}

// One step of the axis.
void TaskLowering::spread_step(int depth, const std::vector<int>& statements, const Affine& lane, const SpreadSteps& steps, Block& block) {
    of_step_.clear();
    for (const ValueId v : spread_uses(statements).read) {
        LaneGet get{{}, registers(v, steps.copy), lane};
        for (int k = 0; k < program_.values[static_cast<std::size_t>(v)].components; ++k)
            get.dst.push_back(builder_.new_register(fmt::format("{}_{}_row", program_.values[static_cast<std::size_t>(v)].name, k), true));
        of_step_[v] = get.dst;
        emit(block, std::move(get));
    }
    in_spread_loop_ = true;
    region(depth + 1, statements, block);
    leave_loop(depth);
    in_spread_loop_ = false;
}

}  // namespace flashtp
