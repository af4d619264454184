#include "tests/support/random_problem.hpp"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <utility>

#include <fmt/format.h>

#include "ir/connection_modes.hpp"
#include "ir/error.hpp"

namespace flashtp::test {
namespace {

template <class T>
const T& pick(std::mt19937_64& rng, const std::vector<T>& choices) {
    return choices[static_cast<std::size_t>(draw(rng, static_cast<std::int64_t>(choices.size())))];
}

/// Draws a problem segment by segment and instruction by instruction. Output segments are made as instructions need them.
class Drawing {
  public:
    Drawing(std::mt19937_64& rng, const RandomOptions& options) : rng_(rng), options_(options) {
        for (const ConnectionModeRow& row : connection_modes()) {
            const bool allowed = options.modes.empty() || std::ranges::find(options.modes, row.mode) != options.modes.end();
            if (allowed && !(row.must_be_weighted && options.weighted == false)) modes_.push_back(row.mode);
        }
        if (modes_.empty()) internal_error("random_problem: no mode may be unweighted");
    }

    Problem problem() {
        draw_inputs();
        draw_instructions();
        draw_settings();
        draw_normalization();
        if (options_.radial) draw_radial();
        validate(problem_);
        return problem_;
    }

  private:
    std::int64_t draw_multiplicity() {
        if (options_.zero_multiplicities && draw_bool(rng_, 0.05)) return 0;
        return pick(rng_, options_.multiplicities);
    }

    void draw_inputs() {
        const auto count = [this] { return 1 + draw(rng_, options_.max_segments); };
        for (std::int64_t n = count(); n > 0; --n) in1_.push_back({draw_multiplicity(), draw_irrep()});
        // Half of the second input repeats multiplicities of the first: modes with one label for both need that.
        for (std::int64_t n = count(); n > 0; --n)
            in2_.push_back({draw_bool(rng_) ? pick(rng_, in1_).multiplicity : draw_multiplicity(), draw_irrep()});
        problem_.irreps_in1 = Irreps(in1_);
        problem_.irreps_in2 = Irreps(in2_);
    }

    Irrep draw_irrep() { return {static_cast<int>(draw(rng_, options_.max_l + 1)), draw_bool(rng_) ? 1 : -1}; }

    void draw_instructions() {
        const std::int64_t wanted = 1 + draw(rng_, options_.max_instructions);
        for (int attempt = 0; attempt < 2000 && std::ssize(problem_.instructions) < wanted; ++attempt) add_instruction();
        if (problem_.instructions.empty()) add_fallback();
        if (draw_bool(rng_, 0.3)) out_.push_back({draw_multiplicity(), draw_irrep()});  // written by no instruction
        problem_.irreps_out = Irreps(out_);
    }

    /// Adds one instruction, or nothing when what was drawn does not fit or is too much work.
    void add_instruction() {
        Instruction drawn;
        drawn.in1 = static_cast<int>(draw(rng_, std::ssize(in1_)));
        drawn.in2 = static_cast<int>(draw(rng_, std::ssize(in2_)));
        drawn.mode = pick(rng_, modes_);
        const ConnectionModeRow& row = row_of(drawn.mode);
        drawn.weighted = row.must_be_weighted || options_.weighted.value_or(draw_bool(rng_, 0.7));

        const MulIrrep &x = in1_[static_cast<std::size_t>(drawn.in1)], &y = in2_[static_cast<std::size_t>(drawn.in2)];
        Multiplicities m{x.multiplicity, y.multiplicity, 1};
        const bool free_output = row.labels[3] == "w";
        if (free_output && drawn.weighted)
            m.out = draw_multiplicity();
        else if (!free_output)
            m.out = product_of_extents(row.labels[3], m);
        if (!broken_constraint(drawn.mode, drawn.weighted, m).empty() || m.out > largest_output) return;

        const int l = draw_coupled(x.irrep.l, y.irrep.l);
        const std::int64_t work = product_of_extents(union_of_labels(drawn.mode, true), m) * 2 * (x.irrep.dim() + y.irrep.dim());
        if (l > options_.max_l || products_ + work > options_.max_products) return;
        products_ += work;
        drawn.out = output({m.out, {l, x.irrep.parity * y.irrep.parity}});
        problem_.instructions.push_back(drawn);
    }

    int draw_coupled(int l1, int l2) {
        const int least = std::abs(l1 - l2);
        return least + static_cast<int>(draw(rng_, l1 + l2 - least + 1));
    }

    /// Index of an output segment: often one that exists, so that instructions share outputs and segments repeat.
    int output(const MulIrrep& wanted) {
        const auto found = std::ranges::find(out_, wanted);
        if (found != out_.end() && draw_bool(rng_, 0.7)) return static_cast<int>(found - out_.begin());
        out_.push_back(wanted);
        return static_cast<int>(out_.size()) - 1;
    }

    /// The drawn inputs allow no instruction of the modes asked for: two scalar channels on each side allow every mode.
    void add_fallback() {
        in1_ = in2_ = {MulIrrep{2, Irrep{0, 1}}};
        problem_.irreps_in1 = Irreps(in1_);
        problem_.irreps_in2 = Irreps(in2_);
        const ConnectionModeRow& row = row_of(pick(rng_, modes_));
        const Multiplicities m{2, 2, 1};
        out_ = {{row.labels[3] == "w" ? 1 : product_of_extents(row.labels[3], m), {0, 1}}};
        problem_.instructions = {{0, 0, 0, row.mode, row.must_be_weighted || options_.weighted.value_or(true), 1.0}};
    }

    void draw_settings() {
        problem_.name = "random";
        problem_.shared_weights = options_.shared_weights.value_or(draw_bool(rng_, 0.3));
        problem_.convolution = options_.convolution.value_or(draw_bool(rng_));
        problem_.dtype = options_.dtype.value_or(draw_bool(rng_) ? DType::float64 : DType::float32);
        const auto layout = [this] { return options_.layouts && draw_bool(rng_, 0.3) ? Layout::ir_mul : Layout::mul_ir; };
        problem_.layout_in1 = layout();
        problem_.layout_in2 = layout();
        problem_.layout_out = layout();
    }

    void draw_radial() {
        if (problem_.shared_weights || weight_numel(problem_) == 0) return;
        problem_.radial = Radial{pick(rng_, std::vector<std::int64_t>{1, 2, 5, 8, 33}), pick(rng_, std::vector<double>{1, 0.125, -3}),
                                 draw_bool(rng_)};
    }

    void draw_normalization() {
        if (!options_.normalizations) return;
        problem_.irrep_normalization =
            pick(rng_, std::vector{IrrepNormalization::component, IrrepNormalization::norm, IrrepNormalization::none});
        problem_.path_normalization =
            pick(rng_, std::vector{PathNormalization::element, PathNormalization::path, PathNormalization::none});
        const std::vector<double> path_weights{1, 1, 1, 0.25, 4, 0};  // 0: a path that contributes nothing but keeps its weights
        for (Instruction& instruction : problem_.instructions) instruction.path_weight = pick(rng_, path_weights);
        const auto variances = [this](const Irreps& irreps) {
            std::vector<double> result;
            if (draw_bool(rng_, 0.3)) {
                for (std::size_t n = 0; n < irreps.size(); ++n) result.push_back(pick(rng_, std::vector<double>{1, 0.5, 2}));
            }
            return result;
        };
        problem_.in1_var = variances(problem_.irreps_in1);
        problem_.in2_var = variances(problem_.irreps_in2);
        problem_.out_var = variances(problem_.irreps_out);
    }

    static constexpr std::int64_t largest_output = 600;  // uvuv and uvu<v of 33 channels: 1089 and 528

    std::mt19937_64& rng_;
    const RandomOptions& options_;
    std::vector<ConnectionMode> modes_;
    std::vector<MulIrrep> in1_, in2_, out_;
    std::int64_t products_ = 0;
    Problem problem_;
};

}  // namespace

std::int64_t draw(std::mt19937_64& rng, std::int64_t n) {
    return static_cast<std::int64_t>(rng() % static_cast<std::uint64_t>(n));
}

double draw_value(std::mt19937_64& rng) { return static_cast<double>(rng() >> 11) * 0x1p-52 - 1; }

bool draw_bool(std::mt19937_64& rng, double probability) { return draw_value(rng) < 2 * probability - 1; }

Problem random_problem(std::mt19937_64& rng, const RandomOptions& options) { return Drawing(rng, options).problem(); }

Graph random_graph(std::mt19937_64& rng, const Problem& problem, const GraphOptions& options) {
    Graph graph{options.edges, options.edges, options.edges, {}, {}};
    if (!problem.convolution) return graph;
    graph.senders = options.senders;
    graph.receivers = options.receivers;
    const std::int64_t isolated = options.receivers > 1 ? draw(rng, options.receivers) : -1;
    std::vector<std::pair<std::int32_t, std::int32_t>> edges;  // receiver, sender
    while (std::ssize(edges) < options.edges) {
        if (!edges.empty() && draw_bool(rng, 0.2)) edges.push_back(edges[static_cast<std::size_t>(draw(rng, std::ssize(edges)))]);
        std::int64_t receiver = draw(rng, options.receivers - (isolated >= 0 ? 1 : 0));
        if (isolated >= 0 && receiver >= isolated) ++receiver;
        edges.emplace_back(static_cast<std::int32_t>(receiver), static_cast<std::int32_t>(draw(rng, options.senders)));
    }
    edges.resize(static_cast<std::size_t>(options.edges));
    // Senders stay in random order within a receiver: kernels may rely on the order of receivers, never on that of senders.
    if (options.sorted) std::ranges::stable_sort(edges, {}, &std::pair<std::int32_t, std::int32_t>::first);
    for (const auto& [receiver, sender] : edges) {
        graph.receiver.push_back(receiver);
        graph.sender.push_back(sender);
    }
    return graph;
}

Tensors random_tensors(const std::vector<Operand>& operands, const Graph& graph, std::mt19937_64& rng, DType arithmetic) {
    Tensors tensors;
    for (const Operand& operand : operands) {
        if (operand.role != Role::input) continue;
        std::vector<double>& values = tensors[operand.name];
        values.resize(static_cast<std::size_t>(graph.rows(operand.row) * operand.width));
        for (double& value : values) value = rounded_to(operand.storage.value_or(arithmetic), draw_value(rng));
    }
    return tensors;
}

}  // namespace flashtp::test
