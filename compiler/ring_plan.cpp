#include "compiler/ring_plan.hpp"

#include <algorithm>
#include <numeric>
#include <optional>

namespace flashtp {

namespace {

constexpr std::int64_t small_gap = 16;       // elements worth copying for nothing to save an instruction

/// A run of elements one value needs, before merging.
struct Run {
    OperandId operand;
    std::int64_t first, chunk_factor, count;
    std::size_t use;  // index into Needs::uses
};
struct UseOfRun {
    ValueId value;
    std::int64_t lane_stride, component_stride;
};

/// Whether a lane value's channels and components lie one after the other.
bool is_one_run(const Value& value) {
    const View& view = value.binding->view;
    return view.axes[0].stride == value.components && (view.component_stride == 1 || value.components == 1);
}

class Planner {
  public:
    Planner(const Nest& nest, int chunk_channels, std::int64_t chunks, CopyMechanism copy, std::size_t word_bytes)
        : nest_(nest), channels_(chunk_channels), chunks_(chunks), copy_(copy), bytes_(static_cast<std::int64_t>(word_bytes)) {}

    RingPlan run(const std::vector<ValueId>& inputs) {
        for (const ValueId v : inputs) add_value(v);
        std::stable_sort(runs_.begin(), runs_.end(), [](const Run& a, const Run& b) {
            return std::tie(a.operand, a.chunk_factor, a.first) < std::tie(b.operand, b.chunk_factor, b.first);
        });
        for (std::size_t begin = 0; begin < runs_.size();) begin = add_piece(begin);
        plan_.edge_elements = round_up(next_, bulk_alignment / bytes_);
        return std::move(plan_);
    }

  private:
    static std::int64_t round_up(std::int64_t n, std::int64_t to) { return (n + to - 1) / to * to; }

    const Operand& operand_of(ValueId v) const { return nest_.program().operands[nest_.program().values[v].binding->operand]; }

    /// Bytes of an element in memory, and words that some of them take.
    std::int64_t element_bytes(OperandId o) const {
        const std::optional<DType> storage = nest_.program().operands[o].storage;
        return storage ? static_cast<std::int64_t>(size_of(*storage)) : bytes_;
    }
    std::int64_t in_a_word(OperandId o) const { return bytes_ / element_bytes(o); }
    std::int64_t words(OperandId o, std::int64_t elements) const { return (elements + in_a_word(o) - 1) / in_a_word(o); }

    // A lane value is a run over channels and components where the layout makes it one; else a run a component.
    void add_value(ValueId v) {
        const Value& value = nest_.program().values[v];
        const View& view = value.binding->view;
        const OperandId operand = value.binding->operand;
        if (!nest_.place(v).lane) {
            if (view.component_stride == 1 || value.components == 1) return add_run(v, operand, view.offset, 0, value.components, 0, 1);
            return add_component_runs(v, operand, view, 1, 0);
        }
        const std::int64_t stride = view.axes[0].stride;
        if (is_one_run(value))
            return add_run(v, operand, view.offset + start() * stride, factor() * stride, channels_ * stride, stride, 1);
        add_component_runs(v, operand, view, channels_, stride);
    }

    // Component by component, each padded to the same distance so that one component stride serves all of them.
    void add_component_runs(ValueId v, OperandId operand, const View& view, std::int64_t count, std::int64_t stride) {
        const std::int64_t distance = round_up(count, bulk_alignment / element_bytes(operand));
        next_ = round_up(next_, bulk_alignment / bytes_);
        const RingPlace place{next_ * in_a_word(operand), stride, distance};
        const std::int64_t first_word = next_;
        for (int k = 0; k < view.components; ++k) {
            const std::int64_t first = view.offset + k * view.component_stride + (stride ? start() * stride : 0);
            finish_piece({operand, first, stride ? factor() * stride : 0, count, next_, false, 1});
            next_ = first_word + words(operand, (k + 1) * distance);
        }
        plan_.places.push_back({v, place});
    }

    // One chunk: its first channel is part of the constant, and neighbouring slices may merge.
    std::int64_t start() const { return chunks_ == 1 ? nest_.task().channel_begin : 0; }
    std::int64_t factor() const { return chunks_ == 1 ? 0 : 1; }

    void add_run(ValueId v, OperandId operand, std::int64_t first, std::int64_t chunk_factor, std::int64_t count,
                 std::int64_t lane_stride, std::int64_t component_stride) {
        uses_.push_back({v, lane_stride, component_stride});
        runs_.push_back({operand, first, chunk_factor, count, uses_.size() - 1});
    }

    // The piece that starts with this run, with all later runs that touch it or nearly do. Returns the first run left.
    std::size_t add_piece(std::size_t begin) {
        std::int64_t first = runs_[begin].first, end = first + runs_[begin].count;
        std::size_t i = begin + 1;
        while (i < runs_.size() && runs_[i].operand == runs_[begin].operand && runs_[i].chunk_factor == runs_[begin].chunk_factor &&
               runs_[i].first <= end + (runs_[begin].chunk_factor ? 0 : small_gap)) {
            end = std::max(end, runs_[i].first + runs_[i].count);
            ++i;
        }
        RingPiece piece{runs_[begin].operand, first, runs_[begin].chunk_factor, end - first, 0, false, 1};
        if (piece.chunk_factor == 0) extend_to_alignment(piece);
        next_ = round_up(next_, bulk_alignment / bytes_);
        piece.shared = next_;
        for (std::size_t r = begin; r < i; ++r) {
            const UseOfRun& use = uses_[runs_[r].use];
            const std::int64_t shared = piece.shared * in_a_word(piece.operand) + runs_[r].first - piece.first;
            plan_.places.push_back({use.value, {shared, use.lane_stride, use.component_stride}});
        }
        next_ += words(piece.operand, piece.count);
        finish_piece(piece);
        return i;
    }

    std::int64_t width(const RingPiece& p) const { return nest_.program().operands[p.operand].width; }

    // Never beyond the row: its width is a multiple of the alignment, and so are its bounds.
    void extend_to_alignment(RingPiece& p) const {
        const std::int64_t unit = std::gcd(width(p), bulk_alignment / element_bytes(p.operand));
        const std::int64_t end = round_up(p.first + p.count, unit);
        p.first = p.first / unit * unit;
        p.count = end - p.first;
    }

    // Largest power of two that divides the row's pitch, the start and the size, in bytes, up to 16.
    std::int64_t alignment(const RingPiece& p) const {
        const std::int64_t all = std::gcd(std::gcd(width(p), p.first), std::gcd(p.count, p.chunk_factor));
        return std::gcd(std::gcd(all * element_bytes(p.operand), p.shared * bytes_), bulk_alignment);
    }

    // Until here the factor is a channel's; copies step by chunks, and start at the task's first channel.
    void finish_piece(RingPiece p) {
        p.first += chunks_ > 1 ? nest_.task().channel_begin * p.chunk_factor : 0;
        p.chunk_factor *= channels_;
        const std::int64_t aligned = alignment(p);
        p.bulk = copy_ == CopyMechanism::barrier && aligned == bulk_alignment;
        p.vector = static_cast<int>(std::max<std::int64_t>(1, aligned / element_bytes(p.operand)));
        if (p.bulk) plan_.bulk_bytes += p.count * element_bytes(p.operand);
        plan_.has_elements |= !p.bulk;
        plan_.pieces.push_back(p);
    }

    const Nest& nest_;
    std::int64_t channels_, chunks_;
    CopyMechanism copy_;
    std::int64_t bytes_, next_ = 0;
    std::vector<Run> runs_;
    std::vector<UseOfRun> uses_;
    RingPlan plan_;
};

}  // namespace

const RingPlace* RingPlan::find(ValueId value) const {
    for (const auto& [v, place] : places)
        if (v == value) return &place;
    return nullptr;
}

void keep_numbers(RingPlan& plan, bool sender, bool edge, std::size_t word_bytes) {
    if (!sender && !edge) return;
    if (sender) plan.sender_at = plan.edge_elements;
    if (edge) plan.edge_at = plan.edge_elements + 1;
    plan.edge_elements += bulk_alignment / static_cast<std::int64_t>(word_bytes);
}

// Runs that are the same for all chunks are extended to whole words where the rows are.
bool fits_ring(const Nest& nest, ValueId v, int chunk_channels, std::int64_t chunks, std::size_t word_bytes) {
    const Value& value = nest.program().values[v];
    const View& view = value.binding->view;
    const Operand& operand = nest.program().operands[value.binding->operand];
    const auto unit = operand.storage ? static_cast<std::int64_t>(word_bytes / size_of(*operand.storage)) : 1;
    if (unit == 1 || operand.width % unit != 0) return operand.width % unit == 0;
    const bool lane = nest.place(v).lane, run = lane ? is_one_run(value) : view.component_stride == 1 || value.components == 1;
    if (run && (!lane || chunks == 1)) return true;
    const std::int64_t stride = lane ? view.axes[0].stride : 0;
    const std::int64_t steps[] = {view.offset, run || value.components == 1 ? 0 : view.component_stride, stride * chunk_channels,
                                  stride * nest.task().channel_begin, lane ? 0 : 1};
    return std::ranges::all_of(steps, [&](std::int64_t step) { return step % unit == 0; });
}

void copy_by_lanes(RingPlan& plan) {
    for (RingPiece& piece : plan.pieces) piece.bulk = false;
    plan.bulk_bytes = 0;
    plan.has_elements = true;
}

RingPlan plan_ring(const Nest& nest, const std::vector<ValueId>& inputs, int chunk_channels, std::int64_t chunks,
                   CopyMechanism copy, std::size_t word_bytes) {
    return Planner(nest, chunk_channels, chunks, copy, word_bytes).run(inputs);
}

}  // namespace flashtp
