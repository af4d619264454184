// The tile of a task: weights of the next edges, made in shared memory in front of their arithmetic, whichever receivers they have.
#include <algorithm>
#include <numeric>
#include <set>

#include "compiler/lower_task.hpp"
#include "ir/error.hpp"

namespace flashtp {

namespace {

/// Elements between rows of a tile: rows start 8 banks apart, so that the lanes of a fragment meet in none.
std::int64_t spread(std::int64_t elements) { return elements + (40 - elements % 32) % 32; }

std::int64_t whole(std::int64_t count, std::int64_t unit) { return (count + unit - 1) / unit * unit; }

}  // namespace

bool TaskLowering::in_tile(ValueId value) const {
    const Value& v = program_.values[value];
    return terms_ && v.binding && program_.operands[v.binding->operand].tile;
}

// Columns of all tiles are those of the task's paths, side by side. Gradients of weights take the place of weights: an edge's are
// loaded before any of its gradients is stored.
void TaskLowering::plan_tile() {
    std::int64_t width = 0;
    std::set<std::string> read, written;
    for (ValueId v = 0; v < static_cast<ValueId>(program_.values.size()); ++v) {
        const ValuePlace& place = nest_.place(v);
        if (!in_tile(v) || (!place.read && !place.written)) continue;
        if (tile_.columns.emplace(program_.values[v].binding->view.offset, 0).second) width += chunk_channels_;
        (place.written ? written : read).insert(program_.operands[program_.values[v].binding->operand].name);
    }
    if (width == 0) return;
    std::int64_t next = 0;
    for (auto& [first, column] : tile_.columns) column = next, next += chunk_channels_;
    tile_.pitch = spread(whole(width, 16));
    std::vector<SharedId> free;
    for (const std::string& name : read) free.push_back(tile_.shared[name] = new_tile(name, tile_.pitch));
    tile_.in_place = !written.empty() && !read.empty();
    for (const std::string& name : written) {
        tile_.shared[name] = free.empty() ? new_tile(name, tile_.pitch) : free.back();
        if (!free.empty()) free.pop_back();
    }
    for (const TileTerm& term : *terms_) {
        if (!tile_.shared.contains(term.tile.name)) continue;
        tile_.row_pitch = whole(term.hidden, 16) + 4;  // lanes meet in a bank twice, once a tile; but such rows find more place
        (term.returned() ? tile_.returned : tile_.fetched).insert(term.rows.name);
        add_matrix(term);
    }
}

SharedId TaskLowering::new_tile(const std::string& name, std::int64_t pitch) {
    const std::int64_t size = schedule_.tile_edges * pitch;
    const SharedId id = builder_.new_shared("tile_" + name, shared_elements_, size);
    shared_elements_ += size;
    return id;
}

// The layer's rows arrive while the last edges of a tile are worked on. When they need no more than what is done with of the weights, and
// are all read before new ones are written, they lie there.
void TaskLowering::place_fetched() {
    const std::int64_t size = schedule_.tile_edges * tile_.row_pitch, done = edges_done_with() * tile_.pitch;
    const auto in_passes = [](const TileTerm& term) { return term.hidden > summands_of_pass; };
    const bool under = tile_.fetched.size() == 1 && tile_.shared.size() == 1 && tile_.returned.empty() && size <= done &&
                       std::ranges::none_of(*terms_, in_passes);
    if (!under) {
        for (const std::string& name : tile_.fetched) tile_.shared[name] = new_tile(name, tile_.row_pitch);
        return;
    }
    const SharedId weights = tile_.shared.begin()->second;
    const std::string& name = *tile_.fetched.begin();
    tile_.shared[name] = builder_.new_shared("tile_" + name, builder_.task.shared[static_cast<std::size_t>(weights)].offset, size);
}

/// Of a tile, when the first stage of the next one is filled.
std::int64_t TaskLowering::edges_done_with() const {
    return schedule_.tile_edges - (schedule_.ring.stages - 1) * stage_edges_;
}

// What a tile returns is there between its last edge and the next one only: a place that other rows have at other times.
std::int64_t TaskLowering::place_returned(std::int64_t offset) {
    const std::int64_t size = schedule_.tile_edges * tile_.row_pitch;
    std::int64_t used = 0;
    for (const std::string& name : tile_.returned) {
        if (offset >= 0) tile_.shared[name] = builder_.new_shared("tile_" + name, offset + used, size);
        used += size;
    }
    return used;
}

void TaskLowering::add_matrix(const TileTerm& term) {
    if (tile_.matrices.contains(term.matrix.name)) return;
    BlockMatrix matrix{term.matrix.name, buffers_.named(term.matrix.name), term.hidden, term.pitch};
    for (const auto& [first, column] : tile_.columns) matrix.first.push_back(first + nest_.task().channel_begin);
    matrix.run = chunk_channels_;
    matrix.chunk_step = chunks_ > 1 ? chunk_channels_ : 0;
    for (const TileTerm& other : *terms_)
        if (other.bias && other.matrix.name == term.matrix.name) matrix.bias = buffers_.named(other.bias->name);
    tile_.matrices[term.matrix.name] = static_cast<MatrixId>(builder_.task.matrices.size());
    builder_.task.matrices.push_back(std::move(matrix));
}

Access TaskLowering::tile_access(ValueId value, int copy) const {
    const Binding& binding = *program_.values[value].binding;
    const RingPlace place{tile_.columns.at(binding.view.offset), 1, 1};
    return shared_access(tile_.shared.at(program_.operands[binding.operand].name), Affine::of(tile_.row, tile_.pitch), place,
                         value, copy);
}

void TaskLowering::begin_tile(const Affine& first, const Affine& last, Block& block) {
    if (!uses_ring() || schedule_.ring.stages * stage_edges_ > schedule_.tile_edges)
        internal_error("a tile of {} edges without a ring of fewer\n{}", schedule_.tile_edges, to_string(schedule_));
    tile_.row = builder_.new_int("tile_row");
    emit(block, IntLet{tile_.row, Affine(0)});
    builder_.task.windows = 3;
    emit(block, WindowOpen{2, buffers_.edge(), first, last});
    if (!returns()) return;
    tile_.end = builder_.new_int("tile_end");
    emit(block, IntLet{tile_.end, Affine(0)});
    builder_.task.windows = 4;
    emit(block, WindowOpen{3, buffers_.edge(), first, last});
}

// The layer's rows of a tile's edges come with the stage in which the tile begins.
void TaskLowering::fill_tile(const Affine& first, Block& block) {
    const IntId count = builder_.new_int("edges"), k = builder_.new_int("k"), e = builder_.new_int("e_fill");
    emit(block, IntMin{count, Affine(schedule_.tile_edges), edges_left(first)});
    For edges{k, Affine(0), Affine::of(count), 1, {}};
    deal_to_teams(edges, schedule_.tile_edges);
    emit(edges.body, WindowRead{2, e, first + Affine::of(k)});
    for (const TileTerm& term : *terms_) {
        if (term.returned() || !tile_.shared.contains(term.tile.name)) continue;
        const auto vector = static_cast<int>(std::gcd(term.hidden, std::int64_t{4}));
        AsyncCopy copy{tile_.shared.at(term.rows.name),
                       Affine::of(k, tile_.row_pitch),
                       buffers_.named(term.rows.name),
                       Affine::of(e, term.rows.width),
                       term.hidden,
                       false,
                       vector};
        const bool twice = std::ranges::any_of(edges.body, [&](const KernelStatement& s) { return s.node == KernelNode{copy}; });
        if (!twice) emit(edges.body, std::move(copy));
    }
    emit(block, std::move(edges));
}

/// Of a stage that is filled after the edge at hand: whether a tile begins in it.
void TaskLowering::fill_next_tile(const Affine& first, Block& block) {
    const std::int64_t ahead = edges_done_with();
    If not_before{Affine(ahead - 1), Affine::of(tile_.row), {}}, not_after{Affine::of(tile_.row), Affine(ahead + 1), {}};
    fill_tile(first, not_after.body);
    emit(not_before.body, std::move(not_after));
    emit(block, std::move(not_before));
}

// In front of an edge: where it is the first of a tile, the products that make weights.
void TaskLowering::enter_tile(IntId position, Block& block) {
    If first{Affine::of(tile_.row), Affine(1), {}};
    if (returns()) emit(first.body, IntMin{tile_.end, Affine::of(position) + Affine(schedule_.tile_edges), Affine::of(last_)});
    const IntId count = builder_.new_int("edges");
    emit(first.body, IntMin{count, Affine(schedule_.tile_edges), edges_left(Affine::of(position))});
    std::vector<SharedId> made;
    for (const TileTerm& term : *terms_) {
        if (term.returned() || !tile_.shared.contains(term.tile.name)) continue;
        const SharedId to = tile_.shared.at(term.tile.name);
        emit(first.body,
             TileProduct{to, tile_.shared.at(term.rows.name), tile_.pitch, tile_.row_pitch, tile_.matrices.at(term.matrix.name),
                         schedule_.tile_edges, Affine::of(count), term.factor, false, std::ranges::count(made, to) > 0, term.bias.has_value()});
        made.push_back(to);
    }
    emit(block, std::move(first));
    if (tile_.in_place) load_tile(block);
}

/// All weights of the edge at hand.
void TaskLowering::load_tile(Block& block) {
    for (ValueId v = 0; v < static_cast<ValueId>(program_.values.size()); ++v) {
        if (!in_tile(v) || !program_.is_input(v) || !nest_.place(v).read) continue;
        loaded_[v] = true;
        for (int copy = 0; copy < copies_of(v); ++copy) load(v, copy, block);
    }
}

bool TaskLowering::returns() const {
    return std::ranges::any_of(*terms_, [&](const TileTerm& t) { return t.returned() && tile_.shared.contains(t.tile.name); });
}

void TaskLowering::leave_edge_of_tile(IntId position, Block& block) {
    emit(block, IntSet{tile_.row, Affine::of(tile_.row) + Affine(1)});
    if (!returns()) return;
    If done{Affine::of(tile_.end), Affine::of(position) + Affine(2), {}};
    return_tile(position, done.body);
    emit(block, std::move(done));
}

// After the last edge of a tile: gradients of the layer's rows, to which other tasks add as well.
void TaskLowering::return_tile(IntId position, Block& block) {
    std::vector<const TileTerm*> rows;
    for (const TileTerm& term : *terms_) {
        if (!term.returned() || !tile_.shared.contains(term.tile.name)) continue;
        const bool again = std::ranges::any_of(rows, [&](const TileTerm* t) { return t->rows.name == term.rows.name; });
        emit(block, TileProduct{tile_.shared.at(term.rows.name), tile_.shared.at(term.tile.name), tile_.row_pitch, tile_.pitch,
                                tile_.matrices.at(term.matrix.name), schedule_.tile_edges, Affine::of(tile_.row), term.factor,
                                true, again});
        if (!again) rows.push_back(&term);
    }
    const IntId r = builder_.new_int("r"), e = builder_.new_int("e_left");
    For edges{r, Affine(0), Affine::of(tile_.row), 1, {}};
    emit(edges.body, WindowRead{3, e, Affine::of(position) + Affine::of(tile_.row, -1) + Affine::of(r) + Affine(1)});
    for (const TileTerm* term : rows)
        emit(edges.body,
             CopyLanes{tile_.shared.at(term->rows.name), Affine::of(r, tile_.row_pitch), buffers_.named(term->rows.name),
                       Affine::of(e, term->rows.width), term->hidden, false, StoreMode::atomic});
    emit(block, std::move(edges));
}

void TaskLowering::leave_tile(Block& block) {
    If over{Affine(schedule_.tile_edges - 1), Affine::of(tile_.row), {}};
    emit(over.body, IntSet{tile_.row, Affine(0)});
    emit(block, std::move(over));
}

/// From a position to the last edge of the warp.
Affine TaskLowering::edges_left(const Affine& first) const {
    Affine left = Affine::of(last_);
    for (const auto& [variable, factor] : first.terms) left += Affine::of(variable, -factor);
    return left + Affine(-first.constant);
}

}  // namespace flashtp
