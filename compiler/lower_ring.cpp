// The ring of a task: edge and sender rows reach shared memory some edges ahead of the arithmetic, several edges a stage.
#include <algorithm>
#include <bit>

#include "compiler/lower_task.hpp"

namespace flashtp {

namespace {

constexpr std::int64_t most_edges_per_stage = 8;

}  // namespace

std::vector<ValueId> TaskLowering::ring_inputs() const {
    std::vector<ValueId> inputs;
    const int edge = nest_.find_loop(LoopKind::edge);
    const bool innermost = edge == nest_.loops() - 1 && edge > 0 && nest_.task().loops[edge - 1].kind == LoopKind::receiver;
    if (schedule_.ring.stages == 0 || !innermost) return inputs;
    for (ValueId v = 0; v < static_cast<ValueId>(program_.values.size()); ++v) {
        const Value& value = program_.values[v];
        if (!nest_.place(v).read || !program_.is_input(v) || in_tile(v) || value.binding->view.pair || value.extents.size() > 1) continue;
        const bool copied = value.row == Row::edge || value.row == Row::sender;
        const bool synchronous = schedule_.ring.copy == CopyMechanism::plain;  // which copies numbers of the compute type only
        if (synchronous && program_.operands[value.binding->operand].storage) continue;
        if (copied && fits_ring(nest_, v, static_cast<int>(chunk_channels_), chunks_, size_of(compute_))) inputs.push_back(v);
    }
    return inputs;
}

void TaskLowering::plan_ring_buffer() {
    const std::vector<ValueId> inputs = ring_inputs();
    if (inputs.empty()) return;
    KernelTask& task = builder_.task;
    task.copy = schedule_.ring.copy;
    ring_ = plan_ring(nest_, inputs, static_cast<int>(chunk_channels_), chunks_, task.copy, size_of(compute_));
    const auto [sender, edge] = addressed_rows(all_statements());
    keep_numbers(ring_, sender, edge, size_of(compute_));
    const std::int64_t fit = schedule_.ring.stage_bytes / (ring_.edge_elements * static_cast<std::int64_t>(size_of(compute_)));
    // A tile is no shorter than the ring, or the tile after the next would be on its way as well.
    const std::int64_t most = tiled() ? std::clamp<std::int64_t>(schedule_.tile_edges / schedule_.ring.stages, 1, most_edges_per_stage)
                                        : most_edges_per_stage;
    stage_edges_ = static_cast<std::int64_t>(std::bit_floor(static_cast<std::uint64_t>(std::clamp(fit, std::int64_t{1}, most))));
    // Measured: the copies of one edge are issued faster by one lane, in bulk, and those of several edges by all lanes.
    // The layer's rows of a tile are copied by all lanes as well.
    if (task.copy == CopyMechanism::barrier && (stage_edges_ > 1 || tiled())) {
        task.copy = CopyMechanism::groups;
        copy_by_lanes(ring_);
    }
    task.element_copies = ring_.has_elements;
    const std::int64_t size = ring_.edge_elements * stage_edges_ * schedule_.ring.stages;
    ring_buffer_ = builder_.new_shared("ring", shared_elements_, size);
    shared_elements_ += size;
}

void TaskLowering::begin_ring(const Affine& first, const Affine& last, Block& block) {
    stage_ = builder_.new_int("stage");
    phase_ = builder_.new_int("phase");
    slot_ = stage_edges_ == 1 ? stage_ : builder_.new_int("slot");
    emit(block, RingBegin{});
    emit(block, IntLet{phase_, Affine(0)});
    builder_.task.windows = std::max(builder_.task.windows, 2);
    emit(block, WindowOpen{0, buffers_.sender(), first, last});
    emit(block, WindowOpen{1, buffers_.edge(), first, last});
    const IntId k = builder_.new_int("k");
    For prologue{k, Affine(0), Affine(schedule_.ring.stages), 1, {}};
    fill_stage(k, first + Affine::of(k, stage_edges_), prologue.body, [&](Block& inner) {
        If in_first{Affine::of(k), Affine(1), {}};
        fill_tile(first, in_first.body);
        emit(inner, std::move(in_first));
    });
    emit(block, std::move(prologue));
    emit(block, IntLet{stage_, Affine(0)});
    if (slot_ != stage_) emit(block, IntLet{slot_, Affine(0)});
    emit(block, SyncWarp{});
    wait_stage(first, block);
}

// No stage is filled where no edge is left, and none is waited for.
void TaskLowering::wait_stage(const Affine& position, Block& block) {
    If any{position, Affine::of(last_), {}};
    emit(any.body, StageWait{stage_, phase_});
    emit(block, std::move(any));
}

// Fills a stage with the edges from a position on. Groups are counted, one a stage, so an empty one is committed where no edge is
// left; barriers are armed only for edges.
void TaskLowering::fill_stage(IntId stage, const Affine& first, Block& block, const std::function<void(Block&)>& with_tile) {
    If more{first, Affine::of(last_), {}};
    stage_edges_ == 1 ? fill_edge(stage, first, more.body) : fill_edges(stage, first, more.body);
    if (tiled()) with_tile(more.body);
    const bool groups = builder_.task.copy == CopyMechanism::groups;
    if (!groups) emit(more.body, StageCommit{stage});
    emit(block, std::move(more));
    if (groups) emit(block, StageCommit{stage});
}

void TaskLowering::fill_edge(IntId stage, const Affine& position, Block& block) {
    const auto [s, e] = read_windows(position, block);
    emit(block, StageFill{stage, ring_.bulk_bytes});
    copy_rows({position, s, e}, Affine::of(stage, ring_.edge_elements), block);
}

// A team of eight lanes copies a whole line of memory at a time: each line that an instruction touches takes a turn in shared memory.
void TaskLowering::deal_to_teams(For& rows, std::int64_t count) const {
    rows.teams = static_cast<int>(std::min<std::int64_t>(count, std::max(lanes_ / 8, 1)));
    rows.rounds = static_cast<int>(count) / rows.teams;
}

// Stages of several edges have no bulk copies: the edges are dealt to teams of lanes.
void TaskLowering::fill_edges(IntId stage, const Affine& first, Block& block) {
    const IntId count = builder_.new_int("edges"), k = builder_.new_int("k");
    emit(block, IntMin{count, Affine(stage_edges_), edges_left(first)});
    emit(block, StageFill{stage, 0});
    For edges{k, Affine(0), Affine::of(count), 1, {}};
    if (lanes_ % stage_edges_ == 0) deal_to_teams(edges, stage_edges_);
    const auto [s, e] = read_windows(first + Affine::of(k), edges.body);
    copy_rows({first + Affine::of(k), s, e}, Affine::of(stage, ring_.edge_elements * stage_edges_) + Affine::of(k, ring_.edge_elements), edges.body);
    emit(block, std::move(edges));
}

/// The sender and the edge at a position.
std::pair<IntId, IntId> TaskLowering::read_windows(const Affine& position, Block& block) {
    const IntId s = builder_.new_int("s_fill"), e = builder_.new_int("e_fill");
    emit(block, WindowRead{0, s, position});
    emit(block, WindowRead{1, e, position});
    return {s, e};
}

void TaskLowering::copy_rows(const RingRows& rows, const Affine& slot, Block& block) {
    if (ring_.sender_at >= 0) emit(block, IntPut{ring_buffer_, slot + Affine(ring_.sender_at), rows.sender});
    if (ring_.edge_at >= 0) emit(block, IntPut{ring_buffer_, slot + Affine(ring_.edge_at), rows.edge});
    for (const RingPiece& piece : ring_.pieces) {
        const Operand& operand = program_.operands[piece.operand];
        const Affine row = operand.row == Row::sender ? Affine::of(rows.sender) : operand.tile ? rows.position : Affine::of(rows.edge);
        const Affine source = row.times(operand.width) + Affine(piece.first) +
                              (piece.chunk_factor ? Affine::of(int_chunk, piece.chunk_factor) : Affine(0));
        emit(block, AsyncCopy{ring_buffer_, slot + Affine(piece.shared), buffers_.operand(piece.operand), source, piece.count,
                              piece.bulk, piece.vector});
    }
}

// The edges of a receiver, as many at a time as are left of a stage: what an edge would ask is asked once for all of them, and inside the
// loop over them addresses only advance.
void TaskLowering::stage_loop(int depth, const std::vector<int>& statements, Block& block) {
    const IntId first = builder_.new_int("first"), stop = builder_.new_int("stop");
    const Affine stage_first = Affine::of(position_) + Affine::of(slot_, -1) + Affine::of(stage_, stage_edges_);
    For stages{first, stage_first, Affine::of(last_of_receiver_), stage_edges_, {}};
    emit(stages.body, IntMin{stop, Affine::of(first) + Affine(stage_edges_), Affine::of(last_of_receiver_)});
    if (tiled()) enter_tile(position_, stages.body);
    const Affine count = Affine::of(stop) + Affine::of(position_, -1);
    ahead_ = builder_.new_int("ahead");
    edge_position_ = builder_.new_int("p");
    For edges{ahead_, Affine(0), count, 1, {}};
    emit(edges.body, IntLet{edge_position_, Affine::of(position_) + Affine::of(ahead_)});
    edge_rows(statements, edge_position_, edges.body);
    region(depth + 1, statements, edges.body);
    emit(stages.body, std::move(edges));
    if (tiled()) count_rows(count, stages.body);
    leave_slots(count, Affine::of(stop), stages.body);
    if (tiled()) leave_tile(stages.body);
    emit(stages.body, IntSet{position_, Affine::of(stop)});
    emit(block, std::move(stages));
}

/// Of the edge at hand, in a place where `first` is that of the first edge of those a loop is at.
Affine TaskLowering::of_edge(IntId first, std::int64_t pitch) const {
    const Affine place = Affine::of(first, pitch);
    return walks_stages() ? place + Affine::of(ahead_, pitch) : place;
}

// After edges; `next_edge` is the position of the next one. Their values were read where they were used; once all edges of the stage are
// done it is filled again, with the edges that follow those of the other stages.
void TaskLowering::leave_slots(const Affine& count, const Affine& next_edge, Block& block) {
    const bool single = stage_edges_ == 1;
    if (!single) emit(block, IntSet{slot_, Affine::of(slot_) + count});
    If used_up{Affine::of(stage_, stage_edges_) + Affine(stage_edges_ - 1), Affine::of(slot_), {}};
    Block& next = single ? block : used_up.body;
    // With several edges a stage, a bulk reduction ends every edge with a SyncWarp.
    if (single || reduced_.empty()) emit(next, SyncWarp{});
    const Affine first = next_edge + Affine((schedule_.ring.stages - 1) * stage_edges_);
    fill_stage(stage_, first, next, [&](Block& inner) { fill_next_tile(first, inner); });
    // With one stage its numbers are read at once; otherwise other stages' edges, and a SyncWarp, come in between.
    if (schedule_.ring.stages == 1) emit(next, SyncWarp{});
    emit(next, StageNext{stage_, phase_});
    if (!single) emit(next, IntSet{slot_, Affine::of(stage_, stage_edges_)});
    wait_stage(next_edge, next);
    if (!single) emit(block, std::move(used_up));
}

}  // namespace flashtp
