// The tile of a task: weights of the next edges, made in shared memory in front of their arithmetic, whichever receivers they have.
#include <numeric>

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
    return term_ && v.binding && program_.operands[v.binding->operand].tile;
}

// Columns of the tile are those of the task's paths, side by side.
void TaskLowering::plan_tile() {
    for (ValueId v = 0; v < static_cast<ValueId>(program_.values.size()); ++v) {
        if (!in_tile(v) || !nest_.place(v).read) continue;
        tile_.columns.emplace(program_.values[v].binding->view.offset, 0);
    }
    if (tile_.columns.empty()) return;
    std::int64_t next = 0;
    for (auto& [first, column] : tile_.columns) column = next, next += chunk_channels_;
    tile_.pitch = spread(whole(next, 16));
    tile_.row_pitch = whole(term_->hidden, 16) + 4;  // lanes meet in a bank twice, once a tile; but such rows find more place
    tile_.weights = new_tile(term_->tile.name, tile_.pitch);
    add_matrix();
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
    if (size > done || term_->hidden > summands_of_pass) {
        tile_.rows = new_tile(term_->rows.name, tile_.row_pitch);
        return;
    }
    const std::int64_t offset = builder_.task.shared[static_cast<std::size_t>(tile_.weights)].offset;
    tile_.rows = builder_.new_shared("tile_" + term_->rows.name, offset, size);
}

/// Of a tile, when the first stage of the next one is filled.
std::int64_t TaskLowering::edges_done_with() const {
    return schedule_.tile_edges - (schedule_.ring.stages - 1) * stage_edges_;
}

void TaskLowering::add_matrix() {
    BlockMatrix matrix{term_->matrix.name, buffers_.named(term_->matrix.name), term_->hidden, term_->pitch};
    for (const auto& [first, column] : tile_.columns) matrix.first.push_back(first + nest_.task().channel_begin);
    matrix.run = chunk_channels_;
    matrix.chunk_step = chunks_ > 1 ? chunk_channels_ : 0;
    if (term_->bias) matrix.bias = buffers_.named(term_->bias->name);
    builder_.task.matrices.push_back(std::move(matrix));
}

Access TaskLowering::tile_access(ValueId value, int copy) const {
    const Binding& binding = *program_.values[value].binding;
    const RingPlace place{tile_.columns.at(binding.view.offset), 1, 1};
    return shared_access(tile_.weights, of_edge(tile_.row, tile_.pitch), place, value, copy);
}

void TaskLowering::begin_tile(const Affine& first, const Affine& last, Block& block) {
    if (!uses_ring() || schedule_.ring.stages * stage_edges_ > schedule_.tile_edges)
        internal_error("a tile of {} edges without a ring of fewer\n{}", schedule_.tile_edges, to_string(schedule_));
    tile_.row = builder_.new_int("tile_row");
    emit(block, IntLet{tile_.row, Affine(0)});
    builder_.task.windows = 3;
    emit(block, WindowOpen{2, buffers_.edge(), first, last});
}

// The layer's rows of a tile's edges come with the stage in which the tile begins.
void TaskLowering::fill_tile(const Affine& first, Block& block) {
    const IntId count = builder_.new_int("edges"), k = builder_.new_int("k"), e = builder_.new_int("e_fill");
    emit(block, IntMin{count, Affine(schedule_.tile_edges), edges_left(first)});
    For edges{k, Affine(0), Affine::of(count), 1, {}};
    deal_to_teams(edges, schedule_.tile_edges);
    emit(edges.body, WindowRead{2, e, first + Affine::of(k)});
    emit(edges.body, AsyncCopy{tile_.rows, Affine::of(k, tile_.row_pitch), buffers_.named(term_->rows.name), Affine::of(e, term_->rows.width),
                               term_->hidden, false, static_cast<int>(std::gcd(term_->hidden, std::int64_t{4}))});
    emit(block, std::move(edges));
}

/// Of a stage that is filled when so many rows of the tile are counted: whether a tile begins in it.
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
    const IntId count = builder_.new_int("edges");
    emit(first.body, IntMin{count, Affine(schedule_.tile_edges), edges_left(Affine::of(position))});
    emit(first.body, TileProduct{tile_.weights, tile_.rows, tile_.pitch, tile_.row_pitch, 0, schedule_.tile_edges, Affine::of(count), term_->factor,
                                 term_->bias.has_value()});
    emit(block, std::move(first));
}

void TaskLowering::count_rows(const Affine& count, Block& block) { emit(block, IntSet{tile_.row, Affine::of(tile_.row) + count}); }

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
