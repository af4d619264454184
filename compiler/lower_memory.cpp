// Loads and stores of a task.
#include <algorithm>
#include <numeric>

#include "compiler/lower_task.hpp"
#include "ir/error.hpp"

namespace flashtp {

namespace {

constexpr std::size_t fewest_through_shared = 9;  // measured: fewer sums over lanes are added up faster by shuffles

}  // namespace

// Whether something in the loop addresses rows of senders, and of edges, itself.
std::pair<bool, bool> TaskLowering::addressed_rows(const std::vector<int>& statements) const {
    bool sender = false, edge = false;
    const auto look = [&](ValueId v) {
        if (!program_.values[v].binding || in_ring(v)) return;
        edge |= program_.values[v].row == Row::edge && !program_.operands[program_.values[v].binding->operand].tile;
        sender |= program_.values[v].row == Row::sender && !parts_.contains(v);
    };
    for (const int i : statements) {
        const Statement& s = program_.statements[i];
        look(s.dst.value);
        look(s.a.value);
        if (s.b) look(s.b->value);
    }
    return {sender, edge};
}

// The ring has the numbers of its edges at hand: loading them would cost a memory latency an edge.
void TaskLowering::edge_rows(const std::vector<int>& statements, IntId position, Block& block) {
    const auto [sender, edge] = addressed_rows(statements);
    if (edge && !uses_ring()) emit(block, IntLoad{edge_, buffers_.edge(), Affine::of(position), true});
    if (edge && uses_ring()) emit(block, IntGet{edge_, ring_buffer_, of_edge(slot_, ring_.edge_elements) + Affine(ring_.edge_at)});
    if (!sender) return;
    sender_ = builder_.new_int("s");
    if (uses_ring()) return emit(block, IntGet{sender_, ring_buffer_, of_edge(slot_, ring_.edge_elements) + Affine(ring_.sender_at)});
    emit(block, IntLoad{sender_, buffers_.sender(), Affine::of(position)});
}

// Parts of a sender's sum are in the order in which edges are worked on, those of the shared row by range, all others by the rows that
// they belong to.
Affine TaskLowering::part_base(ValueId value) const {
    const PartPlace& part = parts_.at(value);
    const auto number = [&] {
        switch (program_.values[value].row) {
            case Row::sender: return edge_position_;
            case Row::receiver: return receiver_ >= 0 ? receiver_ : edge_;
            case Row::edge: return edge_;
            case Row::shared: return range_;
        }
        return edge_;
    };
    return Affine::of(number(), part.pitch) + Affine(part.offset) + Affine::of(int_chunk, part.chunk_step);
}

BufferId TaskLowering::buffer_of(ValueId value) const {
    const auto part = parts_.find(value);
    return part != parts_.end() ? buffers_.named(part->second.buffer) : buffers_.operand(program_.values[value].binding->operand);
}

Affine TaskLowering::row_base(ValueId value) const {
    if (parts_.contains(value)) return part_base(value);
    const Value& v = program_.values[value];
    const std::int64_t width = program_.operands[v.binding->operand].width;
    switch (v.row) {
        case Row::edge: return Affine::of(program_.operands[v.binding->operand].tile ? edge_position_ : edge_, width);
        case Row::sender: return Affine::of(sender_ >= 0 ? sender_ : edge_, width);
        case Row::receiver: return Affine::of(receiver_ >= 0 ? receiver_ : edge_, width);
        case Row::shared: return Affine(0);
    }
    return Affine(0);
}

IntId TaskLowering::pair_channel(const PairAxis& pair, IntId rank, Block& block) {
    const IntId channel = builder_.new_int(pair.second ? "v" : "u");
    emit(block, IntLoad{channel, buffers_.pairs(pair), Affine::of(rank)});
    return channel;
}

Access TaskLowering::access(ValueId value, int copy, Block& block) {
    const Value& v = program_.values[value];
    const View& view = v.binding->view;
    Access at;
    at.place = Place::global;
    at.buffer = buffer_of(value);
    at.base = row_base(value) + Affine(view.offset);
    at.component_stride = view.component_stride;
    at.active = active(value, copy);
    for (int axis = 0; axis < static_cast<int>(view.axes.size()); ++axis) {
        const std::int64_t stride = view.axes[axis].stride;
        const bool paired = axis == 0 && view.pair;
        if (nest_.is_lane_axis(value, axis) || spread_here(value)) {
            const Affine first = (spread_here(value) ? Affine() : Affine::of(channel_)) + Affine(std::int64_t{copy} * lanes_);
            at.lane_stride = stride;
            if (paired) {
                at.table = buffers_.pairs(*view.pair);
                at.table_base = first;
            } else {
                at.base += first.times(stride);
            }
            continue;
        }
        const IntId var = axis_.at(nest_.axis_class(value, axis));
        at.base += Affine::of(paired ? pair_channel(*view.pair, var, block) : var, stride);
    }
    return at;
}

void TaskLowering::load(ValueId value, int copy, Block& block) {
    Load node;
    for (int k = 0; k < program_.values[value].components; ++k) node.dst.push_back(reg(value, k, copy));
    const RingPlace* place = ring_.find(value);
    node.from = place            ? ring_access(*place, value, copy)
                : in_tile(value) ? tile_access(value, copy)
                                 : access(value, copy, block);
    emit(block, std::move(node));
}

/// The ring's words hold elements as they are in memory.
Access TaskLowering::ring_access(const RingPlace& place, ValueId value, int copy) const {
    const std::optional<DType> storage = program_.operands[program_.values[value].binding->operand].storage;
    const auto in_a_word = static_cast<std::int64_t>(size_of(compute_) / size_of(storage.value_or(compute_)));
    Access at = shared_access(ring_buffer_, of_edge(slot_, ring_.edge_elements * in_a_word), place, value, copy);
    at.stored = storage;
    return at;
}

void TaskLowering::load_inputs(const std::vector<ValueId>& inputs, Block& block) {
    std::vector<ValueId> staged;
    for (const ValueId v : inputs) {
        if (in_ring(v) || in_tile(v)) continue;
        loaded_[v] = true;
        if (program_.values[v].row == Row::receiver && can_stage(v)) {
            staged.push_back(v);
            continue;
        }
        for (int copy = 0; copy < copies_of(v); ++copy) load(v, copy, block);
    }
    if (!staged.empty()) load_staged(staged, block);
}

// A lane value whose channels and components are one run of the row.
bool TaskLowering::can_stage(ValueId value) const {
    const Value& v = program_.values[value];
    if (!schedule_.stage_rows || !nest_.place(value).lane || v.extents.size() != 1 || v.binding->view.pair) return false;
    const View& view = v.binding->view;
    return v.components > 1 && view.component_stride == 1 && view.axes[0].stride == v.components;
}

std::int64_t TaskLowering::slice_elements(ValueId value) const { return chunk_channels_ * program_.values[value].components; }

Affine TaskLowering::slice(ValueId value) const {
    const Value& v = program_.values[value];
    return row_base(value) + Affine(v.binding->view.offset) + Affine::of(channel_, v.components);
}

RingPlace TaskLowering::slice_place(ValueId value) const { return {0, program_.values[value].components, 1}; }

Access TaskLowering::shared_access(SharedId shared, Affine base, const RingPlace& place, ValueId value, int copy) const {
    Access at;
    at.place = Place::shared;
    at.buffer = shared;
    at.base = base + Affine(place.shared + std::int64_t{copy} * lanes_ * place.lane_stride);
    at.lane_stride = place.lane_stride;
    at.component_stride = place.component_stride;
    at.active = active(value, copy);
    return at;
}

// Elements that a lane copies at a time: the largest power of two within 16 bytes that divides every address and the count.
int TaskLowering::copy_vector(ValueId value, std::int64_t offset) const {
    const Value& v = program_.values[value];
    const std::int64_t first = v.binding->view.offset + nest_.task().channel_begin * v.components;
    const std::int64_t row = std::gcd(program_.operands[v.binding->operand].width, std::gcd(first, slice_elements(value)));
    const auto size = static_cast<std::int64_t>(size_of(compute_));
    return static_cast<int>(std::gcd(std::gcd(row, offset) * size, bulk_alignment) / size);
}

// All slices of the receiver's row enter shared memory coalesced; the lanes then pick their channels.
void TaskLowering::load_staged(const std::vector<ValueId>& inputs, Block& block) {
    emit(block, SyncWarp{});
    std::int64_t offset = 0;
    for (const ValueId v : inputs) {
        emit(block, CopyLanes{staging_, Affine(offset), buffer_of(v), slice(v),
                              slice_elements(v), true, StoreMode::store, copy_vector(v, offset)});
        offset += slice_elements(v);
    }
    emit(block, SyncWarp{});
    offset = 0;
    for (const ValueId v : inputs) {
        for (int copy = 0; copy < copies_of(v); ++copy) {
            Load node;
            for (int k = 0; k < program_.values[v].components; ++k) node.dst.push_back(reg(v, k, copy));
            node.from = shared_access(staging_, Affine(offset), slice_place(v), v, copy);
            emit(block, std::move(node));
        }
        offset += slice_elements(v);
    }
}

void TaskLowering::store_outputs(int depth, const std::vector<int>& statements, Block& block) {
    std::vector<bool> seen(program_.values.size(), false);
    std::vector<ValueId> sums, reduced;
    for (const int i : statements) {
        const ValueId v = program_.statements[i].dst.value;
        if (seen[v] || stored_[v] || !program_.is_output(v) || nest_.place(v).depth != depth) continue;
        seen[v] = true;
        for (int k = 0; k < program_.values[v].components; ++k)
            for (int copy = 0; copy < copies_of(v) && !initialized_[v][k]; ++copy) emit(block, Move{reg(v, k, copy), 0.0});
        if (nest_.place(v).lane_sum) sums.push_back(v);
        else if (std::ranges::count(reduced_, v)) reduced.push_back(v);
        else if (!leaves_directly(v)) store_staged(v, block);
        else
            for (int copy = 0; copy < copies_of(v); ++copy) store_copy(v, copy, block);
    }
    if (!sums.empty()) store_lane_sums(std::move(sums), block);
    if (!reduced.empty()) bulk_reduce(reduced, block);
}

void TaskLowering::store_copy(ValueId value, int copy, Block& block) {
    Store node;
    node.to = access(value, copy, block);
    for (int k = 0; k < program_.values[value].components; ++k) node.src.push_back(reg(value, k, copy));
    node.mode = modes_[value];
    emit(block, std::move(node));
}

bool TaskLowering::leaves_directly(ValueId v) const {
    const bool staged = program_.values[v].row == Row::receiver && can_stage(v);
    return !nest_.place(v).lane_sum && !staged && !std::ranges::count(reduced_, v);
}

// The lanes write their channels to shared memory; the slice leaves coalesced.
void TaskLowering::store_staged(ValueId value, Block& block) {
    emit(block, SyncWarp{});
    for (int copy = 0; copy < copies_of(value); ++copy) {
        Store node;
        node.to = shared_access(staging_, Affine(0), slice_place(value), value, copy);
        for (int k = 0; k < program_.values[value].components; ++k) node.src.push_back(reg(value, k, copy));
        node.mode = StoreMode::store;
        emit(block, std::move(node));
    }
    emit(block, SyncWarp{});
    emit(block, CopyLanes{staging_, Affine(0), buffer_of(value), slice(value), slice_elements(value), false, modes_[value]});
}

// Shared memory to add up that many sums in, or -1.
SharedId TaskLowering::scratch_for(std::size_t count) const {
    return count >= fewest_through_shared && reduce_scratch(count, lanes_) <= sums_elements_ ? staging_ : -1;
}

// Neighbouring sums of one row (the harmonics of several l) are added up and leave together.
void TaskLowering::store_lane_sums(std::vector<ValueId> values, Block& block) {
    struct Run {
        Access to;
        std::vector<RegId> src;
        StoreMode mode;
    };
    std::vector<Run> runs;
    const auto order = [&](ValueId v) {
        const Binding& b = *program_.values[v].binding;
        return std::pair(b.operand, b.view.offset);
    };
    std::stable_sort(values.begin(), values.end(), [&](ValueId a, ValueId b) { return order(a) < order(b); });
    for (const ValueId v : values) {
        const Access at = access(v, 0, block);
        const int components = program_.values[v].components;
        for (int k = 0; k < components; ++k) {
            const Affine position = at.base + Affine(k * at.component_stride);
            const bool joins = !runs.empty() && runs.back().to.buffer == at.buffer && runs.back().mode == modes_[v] &&
                               runs.back().to.base + Affine(static_cast<std::int64_t>(runs.back().src.size())) == position;
            if (!joins) {
                runs.push_back({at, {}, modes_[v]});
                runs.back().to.base = position;
                runs.back().to.component_stride = 1;
                runs.back().to.lane_stride = 0;
            }
            runs.back().src.push_back(reg(v, k, 0));
        }
    }
    for (Run& run : runs) {
        const SharedId scratch = scratch_for(run.src.size());
        emit(block, ReduceStore{std::move(run.to), std::move(run.src), run.mode, scratch});
    }
}

// Two halves of a buffer take turns, so that the reduction of one edge overlaps the arithmetic of the next. When an edge's groups are
// issued, those of the edge before have been on their way for long: waiting for them costs nothing.
void TaskLowering::bulk_reduce(const std::vector<ValueId>& values, Block& block) {
    std::int64_t offset = 0;
    const Affine base = Affine::of(half_, reduce_elements_);
    for (const ValueId v : values) {
        for (int copy = 0; copy < copies_of(v); ++copy) {
            Store node;
            node.to = shared_access(reduce_buffer_, base + Affine(offset), slice_place(v), v, copy);
            for (int k = 0; k < program_.values[v].components; ++k) node.src.push_back(reg(v, k, copy));
            node.mode = StoreMode::store;
            emit(block, std::move(node));
        }
        offset += slice_elements(v);
    }
    offset = 0;
    for (const ValueId v : values) {
        const int pending = v == values.back() ? static_cast<int>(values.size()) : -1;
        emit(block, BulkReduce{reduce_buffer_, base + Affine(offset), buffer_of(v), slice(v), slice_elements(v), pending, modes_[v]});
        offset += slice_elements(v);
    }
    // Lets other lanes know that their half is free. A ring of single edges does so when it refills the stage.
    if (!uses_ring() || stage_edges_ > 1) emit(block, SyncWarp{});
    emit(block, IntSet{half_, Affine(1) + Affine::of(half_, -1)});
}

// Bulk reductions need 16-byte aligned, contiguous slices at every chunk.
bool TaskLowering::can_bulk_reduce(ValueId value) const {
    const Value& v = program_.values[value];
    const bool sender_slice = v.row == Row::sender && nest_.place(value).lane && v.extents.size() == 1 && modes_[value] != StoreMode::add;
    if (!schedule_.bulk_reduce || !sender_slice || nest_.find_loop(LoopKind::receiver) < 0) return false;
    const View& view = v.binding->view;
    if (view.pair || view.axes[0].stride != v.components || (v.components > 1 && view.component_stride != 1)) return false;
    const std::int64_t unit = bulk_alignment / static_cast<std::int64_t>(size_of(compute_));
    const std::int64_t width = program_.operands[v.binding->operand].width;
    const std::int64_t first = view.offset + nest_.task().channel_begin * v.components;
    return width % unit == 0 && first % unit == 0 && slice_elements(value) % unit == 0;
}

void TaskLowering::plan_shared() {
    plan_tile();
    plan_ring_buffer();
    if (tiled()) place_fetched();
    plan_staging();
}

// For the sums over lanes of an edge's row, which are its components together; without such a row, nothing.
std::int64_t TaskLowering::most_sums_scratch() const {
    std::map<OperandId, std::size_t> sums;
    for (ValueId v = 0; v < static_cast<ValueId>(program_.values.size()); ++v)
        if (nest_.place(v).lane_sum && program_.is_output(v)) sums[program_.values[v].binding->operand] += program_.values[v].components;
    std::int64_t scratch = 0;
    for (const auto& [operand, count] : sums)
        if (schedule_.sums_through_shared && count >= fewest_through_shared) scratch = std::max(scratch, reduce_scratch(count, lanes_));
    return scratch;
}

void TaskLowering::plan_staging() {
    std::int64_t loads = 0, stores = 0;
    for (ValueId v = 0; v < static_cast<ValueId>(program_.values.size()); ++v) {
        const ValuePlace& place = nest_.place(v);
        if (place.written && program_.is_output(v) && can_bulk_reduce(v)) {
            reduced_.push_back(v);
            reduce_elements_ += slice_elements(v);
        }
        if (program_.values[v].row != Row::receiver || !program_.values[v].binding || !can_stage(v)) continue;
        if (place.read && program_.is_input(v)) loads += slice_elements(v);
        if (place.written && program_.is_output(v)) stores = std::max(stores, slice_elements(v));
    }
    // While edges are worked on the buffer is free for their sums over lanes.
    sums_elements_ = most_sums_scratch();
    const std::int64_t staging = (std::max({loads, stores, sums_elements_}) + 3) / 4 * 4;
    if (staging > 0) staging_ = builder_.new_shared("staging", shared_elements_, staging);
    shared_elements_ += staging;
    if (reduce_elements_ > 0) reduce_buffer_ = builder_.new_shared("reduce", shared_elements_, 2 * reduce_elements_);
    shared_elements_ += 2 * reduce_elements_;
}

}  // namespace flashtp
