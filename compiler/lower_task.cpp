#include "compiler/lower_task.hpp"

#include <algorithm>
#include <numeric>

#include "compiler/split_forms.hpp"
#include "ir/error.hpp"

namespace flashtp {

TaskLowering::TaskLowering(const Nest& nest, const Schedule& schedule, const Target& target, const TaskOutputs& outputs,
                           BufferTable& buffers, int lanes, DType compute, const TileTerm* term)
    : nest_(nest), program_(nest.program()), schedule_(schedule), target_(target), modes_(outputs.modes), parts_(outputs.parts),
      buffers_(buffers), lanes_(lanes), compute_(compute), loaded_(nest.program().values.size()), stored_(nest.program().values.size()), term_(term) {
    const Task& task = nest.task();
    const std::int64_t channels = channels_of(task);
    chunk_channels_ = std::min<std::int64_t>(channels, std::int64_t{lanes} * task.channels_per_lane);
    chunks_ = (channels + chunk_channels_ - 1) / chunk_channels_;
    if (chunks_ * chunk_channels_ != channels) internal_error("ragged chunks belong into a task of their own\n{}", to_string(schedule));
    copies_ = static_cast<int>((chunk_channels_ + lanes - 1) / lanes);
    for (const Value& value : program_.values) initialized_.emplace_back(value.components, false);
    uses_ = count_uses(all_statements());
    together_ = reads_forms(program_);
    for (ValueId v = 0; v < static_cast<ValueId>(program_.values.size()); ++v) together_ |= nest.place(v).partial;
}

std::vector<int> TaskLowering::all_statements() const {
    std::vector<int> all(program_.statements.size());
    std::iota(all.begin(), all.end(), 0);
    return all;
}

TaskLowering::Uses TaskLowering::count_uses(const std::vector<int>& statements) const {
    Uses uses{std::vector<int>(program_.values.size(), 0), std::vector<int>(program_.values.size(), 0)};
    for (const int i : statements) {
        const Statement& s = program_.statements[i];
        ++uses.writers[s.dst.value];
        ++uses.readers[s.a.value];
        if (s.b) ++uses.readers[s.b->value];
    }
    return uses;
}

KernelTask TaskLowering::run(std::string name, std::vector<std::string> comments) {
    KernelTask& task = builder_.task;
    task.name = std::move(name);
    task.comments = std::move(comments);
    task.ints = {"chunk", "row_begin", "row_end"};
    plan_shared();
    const bool grid_chunks = nest_.find_loop(LoopKind::chunk) == 0;
    const bool gpu = target_.platform == Platform::cuda;
    if (std::ranges::any_of(parts_, [&](const auto& part) { return program_.values[part.first].row == Row::shared; })) {
        range_ = builder_.new_int("range");
        emit(task.body, RangeNumber{range_});
    }
    if (gpu && nest_.find_loop(LoopKind::receiver) < 0) emit(task.body, ZerosReady{});
    task.chunks = grid_chunks ? chunks_ : 1;
    region(0, all_statements(), task.body);
    if (!reduced_.empty()) emit(task.body, BulkEnd{});
    return std::move(task);
}

// One body: what belongs to this depth before the inner loop, the inner loop, and what needs its sums.
void TaskLowering::region(int depth, const std::vector<int>& statements, Block& block) {
    for (const auto& [before, inner] : sweeps_of(depth, statements)) {
        load_inputs(inputs_of(inner, depth), block);
        zero_sums(depth, inner, block);
        stages(depth, before, block);
        if (inner.empty()) continue;
        loop(depth, inner, block);
        sum_lanes_of(depth, inner, block);
        leave_loop(depth);
    }
    store_outputs(depth, statements, block);
}

// Which sweep of the inner loop completes each value; a statement of the body itself stands before the first sweep that may read
// it. What lives inside the loop is written and read in one sweep, so a late reader takes its sources along.
std::vector<int> TaskLowering::find_sweeps(int depth, const std::vector<int>& statements) const {
    std::vector<int> done(program_.values.size(), 0), at(statements.size(), 0);
    const auto lives_inside = [&](ValueId v) { return nest_.place(v).written && nest_.place(v).depth > depth; };
    for (bool changed = true; changed;) {
        changed = false;
        for (std::size_t n = 0; n < statements.size(); ++n) {
            const Statement& s = program_.statements[statements[n]];
            const bool inner = nest_.depth_of(s) > depth, stays = lives_inside(s.dst.value);
            int sweep = std::max({at[n], done[s.a.value], s.b ? done[s.b->value] : 0, stays ? done[s.dst.value] : 0});
            if (sweep > static_cast<int>(statements.size())) internal_error("no sweep computes all in\n{}", to_string(program_));
            const auto require = [&](ValueId v, int least) { changed |= done[v] < least, done[v] = std::max(done[v], least); };
            require(s.dst.value, sweep + (inner && !stays));
            if (lives_inside(s.a.value)) require(s.a.value, sweep);
            if (s.b && lives_inside(s.b->value)) require(s.b->value, sweep);
            at[n] = sweep;
        }
    }
    return at;
}

// Axes are swept as often as there are sums over them that others read; rows may be read a single time.
std::vector<TaskLowering::Sweep> TaskLowering::sweeps_of(int depth, const std::vector<int>& statements) const {
    const std::vector<int> at = find_sweeps(depth, statements);
    std::vector<Sweep> sweeps(1);
    int swept = 0;
    for (std::size_t n = 0; n < statements.size(); ++n) {
        if (at[n] >= static_cast<int>(sweeps.size())) sweeps.resize(at[n] + 1);
        const bool inner = nest_.depth_of(program_.statements[statements[n]]) > depth;
        (inner ? sweeps[at[n]].inner : sweeps[at[n]].before).push_back(statements[n]);
    }
    for (const Sweep& sweep : sweeps) swept += !sweep.inner.empty();
    if (swept > 1 && nest_.task().loops[depth].kind != LoopKind::axis)
        internal_error("a second sweep would be needed in\n{}", to_string(program_));
    return sweeps;
}

// What lives inside the loop is gone: another sweep loads it again.
void TaskLowering::leave_loop(int depth) {
    for (ValueId v = 0; v < static_cast<ValueId>(program_.values.size()); ++v) {
        if (nest_.place(v).depth <= depth) continue;
        loaded_[v] = false;
        for (int copy = 0; copy < copies_; ++copy) registers_.erase({v, copy});
        summed_.erase(v);
    }
}

std::vector<ValueId> TaskLowering::inputs_of(const std::vector<int>& statements, int depth) const {
    std::vector<bool> used(program_.values.size(), false);
    for (const int i : statements) {
        used[program_.statements[i].a.value] = true;
        if (program_.statements[i].b) used[program_.statements[i].b->value] = true;
    }
    std::vector<ValueId> inputs;
    for (ValueId v = 0; v < static_cast<ValueId>(used.size()); ++v)
        if (used[v] && program_.is_input(v) && nest_.place(v).depth == depth && !loaded_[v]) inputs.push_back(v);
    return inputs;
}

void TaskLowering::zero_sums(int depth, const std::vector<int>& inner, Block& block) {
    for (const int i : inner) {
        const ValueId v = program_.statements[i].dst.value;
        if (nest_.place(v).depth != depth) continue;
        for (int k = 0; k < program_.values[v].components; ++k) {
            if (initialized_[v][k]) continue;
            initialized_[v][k] = true;
            for (int c = 0; c < copies_of(v); ++c) emit(block, Move{reg(v, k, c), 0.0});
        }
    }
}

void TaskLowering::loop(int depth, const std::vector<int>& statements, Block& block) {
    if (depth >= nest_.loops()) internal_error("statements below the innermost loop in\n{}", to_string(program_));
    switch (nest_.task().loops[depth].kind) {
        case LoopKind::chunk: return chunk_loop(depth, statements, block);
        case LoopKind::receiver: return receiver_loop(depth, statements, block);
        case LoopKind::edge: return edge_loop(depth, statements, block);
        case LoopKind::axis: return axis_loop(depth, statements, block);
    }
}

void TaskLowering::chunk_loop(int depth, const std::vector<int>& statements, Block& block) {
    const std::int64_t begin = nest_.task().channel_begin;
    channel_ = builder_.new_int("channel");
    if (depth == 0) {
        emit(block, IntLet{channel_, Affine(begin) + Affine::of(int_chunk, chunk_channels_)});
        return region(depth + 1, statements, block);
    }
    For chunks{channel_, Affine(begin), Affine(nest_.task().channel_end), chunk_channels_, {}};
    region(depth + 1, statements, chunks.body);
    emit(block, std::move(chunks));
}

void TaskLowering::receiver_loop(int depth, const std::vector<int>& statements, Block& block) {
    const IntId begin = builder_.new_int("edge_begin"), end = builder_.new_int("edge_end");
    receiver_ = builder_.new_int("n");
    position_ = builder_.new_int("i");
    const bool gpu = target_.platform == Platform::cuda;
    emit(block, IntLoad{begin, buffers_.row_ptr(), Affine::of(int_row_begin)});
    if (gpu || schedule_.prefetch > 0) {
        last_ = builder_.new_int("edge_last");
        emit(block, IntLoad{last_, buffers_.row_ptr(), Affine::of(int_row_end)});
    }
    if (gpu) emit(block, PartOfEdges{begin, last_});
    emit(block, IntLet{position_, Affine::of(begin)});
    // The end of a receiver's edges is loaded one receiver ahead: its latency hides behind the edges before.
    const IntId next_end = builder_.new_int("next_edge_end");
    emit(block, IntLoad{next_end, buffers_.row_ptr(), Affine::of(int_row_begin) + Affine(1)});
    if (!reduced_.empty()) {
        half_ = builder_.new_int("half");
        emit(block, IntLet{half_, Affine(0)});
    }
    if (tiled()) begin_tile(Affine::of(begin), Affine::of(last_), block);
    if (uses_ring()) begin_ring(Affine::of(begin), Affine::of(last_), block);
    if (gpu) emit(block, ZerosReady{});  // the first rows are on their way
    For rows{receiver_, Affine::of(int_row_begin), Affine::of(int_row_end), 1, {}};
    if (gpu) emit(rows.body, IntMin{end, Affine::of(next_end), Affine::of(last_)});
    else emit(rows.body, IntLet{end, Affine::of(next_end)});
    If more{Affine::of(receiver_) + Affine(1), Affine::of(int_row_end), {}};
    emit(more.body, IntLoad{next_end, buffers_.row_ptr(), Affine::of(receiver_) + Affine(2), false, false});
    emit(rows.body, std::move(more));
    last_of_receiver_ = end;
    region(depth + 1, statements, rows.body);
    emit(rows.body, IntSet{position_, Affine::of(end)});
    emit(block, std::move(rows));
}

// In a convolution `position` counts edges in receiver order and `edge` is the caller's number of it.
void TaskLowering::edge_loop(int depth, const std::vector<int>& statements, Block& block) {
    edge_position_ = edge_ = builder_.new_int("e");
    if (receiver_ < 0) {
        For rows{edge_, Affine::of(int_row_begin), Affine::of(int_row_end), 1, {}};
        if (schedule_.prefetch > 0) prefetch_rows(statements, Affine::of(edge_), Affine::of(int_row_end) + Affine(-1), rows.body);
        region(depth + 1, statements, rows.body);
        return emit(block, std::move(rows));
    }
    if (walks_stages()) return stage_loop(depth, statements, block);
    const IntId position = edge_position_ = builder_.new_int("p");
    For edges{position, Affine::of(position_), Affine::of(last_of_receiver_), 1, {}};
    edge_rows(statements, position, edges.body);
    if (schedule_.prefetch > 0) prefetch_rows(statements, Affine::of(position), Affine::of(last_) + Affine(-1), edges.body);
    if (tiled()) enter_tile(position, edges.body);
    region(depth + 1, statements, edges.body);
    if (tiled()) count_rows(Affine(1), edges.body);
    if (uses_ring()) leave_slots(Affine(1), Affine::of(position) + Affine(1), edges.body);
    if (tiled()) leave_tile(edges.body);
    emit(block, std::move(edges));
}

void TaskLowering::axis_loop(int depth, const std::vector<int>& statements, Block& block) {
    const int axis = nest_.task().loops[depth].axis;
    if (axis == nest_.task().spread_axis) return spread_loop(depth, statements, block);
    const IntId var = builder_.new_int("a");
    axis_[axis] = var;
    For serial{var, Affine(0), Affine(nest_.axis_extent(axis)), 1, {}};
    region(depth + 1, statements, serial.body);
    emit(block, std::move(serial));
}

// A statement that reads a sum over lanes, or one that other bodies read or write as well, waits for all of its writers here: that
// splits a body into stages.
void TaskLowering::stages(int depth, const std::vector<int>& statements, Block& block) {
    if (statements.empty()) return;
    const Uses here = count_uses(statements);
    std::vector<int> stage_of(program_.values.size(), 0);
    std::vector<std::vector<int>> parts;
    for (const int i : statements) {
        const Statement& s = program_.statements[i];
        int at = stage_of[s.a.value];
        if (s.b) at = std::max(at, stage_of[s.b->value]);
        const ValueId dst = s.dst.value;
        const bool elsewhere = here.writers[dst] != uses_.writers[dst] || here.readers[dst] != uses_.readers[dst];
        const bool waits = ((nest_.place(dst).lane_sum && !nest_.place(dst).partial) || elsewhere) && !program_.is_output(dst);
        stage_of[dst] = std::max(stage_of[dst], at + (waits ? 1 : 0));
        if (at >= static_cast<int>(parts.size())) parts.resize(at + 1);
        parts[at].push_back(i);
    }
    for (const std::vector<int>& part : parts) {
        stage(depth, part, block);
        sum_lanes_of(depth, part, block);
    }
}

void TaskLowering::stage(int depth, const std::vector<int>& statements, Block& block) {
    std::vector<int> uniform, spread, lane;
    for (const int i : statements) {
        const Statement& s = program_.statements[i];
        (nest_.is_spread(s) ? spread : nest_.is_lane(s) ? lane : uniform).push_back(i);
    }
    for (const std::vector<int>* part : {&uniform, &spread, &lane}) {
        if (part->empty()) continue;
        const std::vector<ScalarStep> steps = order_scalars(nest_, *part, roles(depth, *part), initialized_);
        const std::vector<ValueId> completed = completed_outputs(depth, *part, steps);
        arithmetic(steps, completed, part == &lane ? copies_ : part == &spread ? spread_copies() : 1, block);
        for (const ValueId v : completed)
            if (v >= 0) stored_[v] = true;
        for (const ScalarStep& step : steps)
            if (step.kind == ScalarStep::Kind::load) loaded_[step.dst] = true;
    }
}

std::vector<ScalarRole> TaskLowering::roles(int depth, const std::vector<int>& statements) const {
    std::vector<ScalarRole> roles(program_.values.size(), ScalarRole::ready);
    const Uses here = count_uses(statements);
    for (const ValueId v : inputs_of(statements, depth)) roles[v] = ScalarRole::load;
    for (ValueId v = 0; v < static_cast<ValueId>(roles.size()); ++v) {
        if (!here.writers[v]) continue;
        const ValuePlace& place = nest_.place(v);
        const bool local = here.writers[v] == uses_.writers[v] && here.readers[v] == uses_.readers[v];
        const bool temp = local && !program_.is_output(v) && place.depth == depth && (!place.lane_sum || place.partial);
        roles[v] = temp ? ScalarRole::temp : ScalarRole::sum;
    }
    return roles;
}

// By step: the output whose last term it is, and which can leave its registers there and then; else -1.
std::vector<ValueId> TaskLowering::completed_outputs(int depth, const std::vector<int>& statements,
                                                     const std::vector<ScalarStep>& steps) const {
    const Uses here = count_uses(statements);
    std::vector<ValueId> completed(steps.size(), -1);
    std::vector<bool> seen(program_.values.size(), false);
    for (int i = static_cast<int>(steps.size()) - 1; i >= 0; --i) {
        const ValueId v = steps[i].dst;
        if (seen[v] || !program_.is_output(v)) continue;
        seen[v] = true;
        const bool whole = std::ranges::all_of(initialized_[v], [](bool set) { return set; });
        if (here.writers[v] == uses_.writers[v] && nest_.place(v).depth == depth && leaves_directly(v) && whole) completed[i] = v;
    }
    return completed;
}

void TaskLowering::arithmetic(const std::vector<ScalarStep>& steps, const std::vector<ValueId>& completed, int copies, Block& block) {
    const int rounds = together_ ? 1 : copies;
    for (int round = 0; round < rounds; ++round)
        for (std::size_t i = 0; i < steps.size(); ++i)
            for (int copy = round; copy < (together_ ? copies : round + 1); ++copy) {
                one_step(steps[i], copy, block);
                if (completed[i] >= 0) store_copy(completed[i], copy, block);
            }
}

void TaskLowering::one_step(const ScalarStep& step, int copy, Block& block) {
    const auto of_copy = [&](ValueId v) { return v >= 0 && has_copies(v); };
    if (step.kind == ScalarStep::Kind::load) {
        if (copy == 0 || of_copy(step.dst)) load(step.dst, copy, block);
    } else if (step.kind == ScalarStep::Kind::zero) {
        emit(block, Move{reg(step.dst, step.component, copy), 0.0});
    } else if (copy == 0 || of_copy(step.dst) || of_copy(step.a) || of_copy(step.b)) {
        term(step, copy, block);
    }
}

void TaskLowering::term(const ScalarStep& step, int copy, Block& block) {
    const auto factor = [&](ValueId v, int k) -> RegId {
        const bool summed = nest_.place(v).lane_sum && !nest_.place(v).partial && !program_.is_output(v);
        return summed ? sum_register(v, k) : reg(v, k, copy);
    };
    const RegId dst = reg(step.dst, step.component, copy);
    // The copies of a lane value add to one sum over lanes: only the first copy may assign.
    const bool first = step.first && (copy == 0 || has_copies(step.dst));
    RegId a = factor(step.a, step.a_component);
    Arg b = step.value;
    if (step.b >= 0) {
        b = factor(step.b, step.b_component);
        if (step.value != 1) {
            // A sign is part of a multiply-add of lanes, not of the load that all copies share.
            const bool in_lanes = together_ && step.value == -1 && !builder_.task.registers[dst].uniform;
            const bool uniform = builder_.task.registers[a].uniform && !in_lanes;
            const RegId scaled = builder_.new_register("t", uniform);
            emit(block, Mul{scaled, a, step.value});
            a = scaled;
        }
    }
    if (first) {
        if (step.b < 0 && step.value == 1) return emit(block, Move{dst, a});
        return emit(block, Mul{dst, a, b});
    }
    emit(block, Fma{dst, a, b, dst});
}

// Partial sums over lanes become one uniform number each, once all of their writers have run.
void TaskLowering::sum_lanes_of(int depth, const std::vector<int>& writers, Block& block) {
    std::vector<bool> seen(program_.values.size(), false);
    for (const int i : writers) {
        const ValueId v = program_.statements[i].dst.value;
        const ValuePlace& place = nest_.place(v);
        if (seen[v] || !place.lane_sum || place.partial || program_.is_output(v) || place.depth != depth) continue;
        seen[v] = true;
        LaneSum sum;
        for (int k = 0; k < program_.values[v].components; ++k) {
            if (!initialized_[v][k]) emit(block, Move{reg(v, k, 0), 0.0}), initialized_[v][k] = true;
            sum.src.push_back(reg(v, k, 0));
            sum.dst.push_back(sum_register(v, k));
        }
        emit(block, std::move(sum));
    }
}

std::vector<RegId>& TaskLowering::registers(ValueId value, int copy) {
    const ValuePlace& place = nest_.place(value);
    std::vector<RegId>& ids = place.spread && in_spread_loop_ ? of_step_[value] : registers_[{value, copy}];
    if (!ids.empty()) return ids;
    const Value& v = program_.values[value];
    const std::string suffix = copies_of(value) > 1 ? fmt::format("_c{}", copy) : "";
    for (int k = 0; k < v.components; ++k)
        ids.push_back(builder_.new_register(fmt::format("{}_{}{}", v.name, k, suffix), !place.lane && !place.lane_sum && !place.spread));
    return ids;
}

RegId TaskLowering::reg(ValueId value, int component, int copy) {
    return registers(value, has_copies(value) ? copy : 0)[component];
}

RegId TaskLowering::sum_register(ValueId value, int component) {
    std::vector<RegId>& ids = summed_[value];
    if (ids.empty())
        for (int k = 0; k < program_.values[value].components; ++k)
            ids.push_back(builder_.new_register(fmt::format("{}_{}_sum", program_.values[value].name, k), true));
    return ids[component];
}

int TaskLowering::active(ValueId value, int copy) const {
    if (!has_copies(value)) return lanes_;
    const std::int64_t channels = nest_.place(value).lane ? chunk_channels_ : spread_extent();
    return static_cast<int>(std::clamp<std::int64_t>(channels - std::int64_t{copy} * lanes_, 0, lanes_));
}

}  // namespace flashtp
