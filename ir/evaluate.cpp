#include "ir/evaluate.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "ir/error.hpp"

namespace flashtp {
namespace {

constexpr std::array all_slots{slot_x, slot_y, slot_w, slot_z, slot_h};
constexpr int max_labels = 4;  // of one path, over all slots: u, v, w and the hidden axis h

/// One output component: a compensated sum (Neumaier), so that the oracle's rounding stays below the bound it judges.
struct Sum {
    double value = 0, carry = 0, magnitude = 0;
    std::int64_t terms = 0;

    void add(double product) {
        const double next = value + product;
        const double added = next - value;
        carry += (value - (next - added)) + (product - added);
        value = next;
        magnitude += std::fabs(product);
        ++terms;
    }
};

/// Where a path reads and writes: the position in a slot's row is offset + a shift a label + a shift a component.
struct PathLoops {
    std::array<std::int64_t, max_labels> extent{1, 1, 1, 1};
    BySlot<std::array<std::vector<std::int64_t>, max_labels>> shift;  ///< by slot, label, index; zero without the label
    BySlot<std::int64_t> offset{}, component_stride{};
};

/// Shifts along one axis. Views are sums over axes, so the other indices may stay at 0 (a pair axis has its own table).
std::vector<std::int64_t> shifts_along(const View& view, std::size_t axis) {
    std::vector<std::int64_t> indices(view.axes.size(), 0), shifts;
    for (; indices[axis] < view.axes[axis].extent; ++indices[axis]) shifts.push_back(view.position(indices, 0));
    return shifts;
}

PathLoops loops_of(const Path& path) {
    PathLoops loops;
    std::string labels;
    for (const Slot slot : all_slots) {
        if (!path.views[slot]) continue;
        const View& view = *path.views[slot];
        // Positions along an axis include what all axes give at index 0: counted once in the offset, removed from the shifts.
        const std::int64_t origin = view.position(std::vector<std::int64_t>(view.axes.size(), 0), 0);
        loops.offset[slot] = origin;
        loops.component_stride[slot] = view.component_stride;
        for (std::size_t axis = 0; axis < view.axes.size(); ++axis) {
            std::size_t label = labels.find(path.labels[slot][axis]);
            if (label == std::string::npos) {
                label = labels.size();
                labels += path.labels[slot][axis];
            }
            if (label >= max_labels) internal_error("path {} has more than {} labels", path.name, max_labels);
            loops.extent[label] = view.axes[axis].extent;
            loops.shift[slot][label] = shifts_along(view, axis);
            for (std::int64_t& shift : loops.shift[slot][label]) shift -= origin;
        }
    }
    for (auto& slot : loops.shift) {
        for (std::size_t label = 0; label < max_labels; ++label) slot[label].resize(loops.extent[label], 0);
    }
    return loops;
}

/// The rows one edge touches: the factors and the written row.
struct Rows {
    BySlot<const double*> factor{};  ///< null in the written slot and where the path has no such slot
    Sum* written = nullptr;
};

/// One coefficient with the position shifts of its components, by slot (the weight has one component).
struct Product {
    double value;
    BySlot<std::int64_t> shift;
};

std::vector<Product> products_of(const Path& path, const PathLoops& loops, double scale) {
    std::vector<Product> products;
    for (const Coefficient& c : path.coefficients) {
        const auto& stride = loops.component_stride;
        products.push_back({scale * c.value, {c.i * stride[slot_x], c.j * stride[slot_y], 0, c.k * stride[slot_z], 0}});
    }
    return products;
}

/// All products of one term on one edge: labels outside, coefficients inside.
class TermOnEdge {
  public:
    TermOnEdge(const Path& path, const Term& term)
        : loops_(loops_of(path)), products_(products_of(path, loops_, term.scale)), written_(term.written) {
        for (const Slot slot : all_slots) {
            if (slot != written_ && path.views[slot]) factors_.push_back(slot);
        }
    }

    void operator()(const Rows& rows) const {
        std::array<std::int64_t, max_labels> index{};
        for (bool more = true; more;) {
            at(rows, index);
            std::size_t label = max_labels;  // the last label runs fastest
            while (label > 0 && ++index[label - 1] == loops_.extent[label - 1]) index[--label] = 0;
            more = label > 0;
        }
    }

  private:
    void at(const Rows& rows, const std::array<std::int64_t, max_labels>& index) const {
        BySlot<std::int64_t> base = loops_.offset;
        for (const Slot slot : all_slots) {
            for (int label = 0; label < max_labels; ++label) base[slot] += loops_.shift[slot][label][index[label]];
        }
        for (const Product& product : products_) {
            double value = product.value;
            for (const int slot : factors_) value *= rows.factor[slot][base[slot] + product.shift[slot]];
            rows.written[base[written_] + product.shift[written_]].add(value);
        }
    }

    PathLoops loops_;
    std::vector<Product> products_;
    std::vector<int> factors_;
    Slot written_;
};

const std::vector<double>& input_tensor(const Operand& operand, const Graph& graph, const Tensors& inputs) {
    const auto found = inputs.find(operand.name);
    if (found == inputs.end()) internal_error("evaluate: no tensor for input {}", operand.name);
    const std::int64_t size = graph.rows(operand.row) * operand.width;
    if (static_cast<std::int64_t>(found->second.size()) != size) {
        internal_error("evaluate: input {} has {} elements, not {}", operand.name, found->second.size(), size);
    }
    return found->second;
}

/// Row maps are the caller's data: every index is checked before the loops trust it.
void check_map(const char* name, const std::vector<std::int32_t>& map, std::int64_t edges, std::int64_t rows) {
    if (!map.empty() && static_cast<std::int64_t>(map.size()) != edges) {
        internal_error("evaluate: {} has {} rows for {} edges", name, map.size(), edges);
    }
    const bool fits = map.empty() ? rows >= edges : std::ranges::all_of(map, [rows](auto row) { return row >= 0 && row < rows; });
    if (edges > 0 && !fits) internal_error("evaluate: {} names a row beyond the {} there are", name, rows);
}

void add_term(const PathProgram& program, const Term& term, const Graph& graph, const std::vector<const double*>& tensors,
              std::vector<std::vector<Sum>>& sums) {
    const TermOnEdge on_edge(program.paths[term.path], term);
    Rows rows;
    for (std::int64_t edge = 0; edge < graph.edges; ++edge) {
        for (const Slot slot : all_slots) {
            const int id = term.operand[slot];
            if (id < 0) continue;
            const std::int64_t start = graph.row_of(program.operands[id].row, edge) * program.operands[id].width;
            if (slot == term.written)
                rows.written = sums[id].data() + start;
            else
                rows.factor[slot] = tensors[id] + start;
        }
        on_edge(rows);
    }
}

OracleTensor finish(const std::vector<Sum>& sums) {
    OracleTensor result;
    for (const Sum& sum : sums) {
        result.value.push_back(sum.value + sum.carry);
        result.magnitude.push_back(sum.magnitude);
        result.terms.push_back(sum.terms);
    }
    return result;
}

}  // namespace

std::map<std::string, OracleTensor> evaluate(const PathProgram& program, const Graph& graph, const Tensors& inputs) {
    check_map("sender", graph.sender, graph.edges, graph.senders);
    check_map("receiver", graph.receiver, graph.edges, graph.receivers);
    std::vector<const double*> tensors(program.operands.size(), nullptr);
    std::vector<std::vector<Sum>> sums(program.operands.size());
    for (std::size_t id = 0; id < program.operands.size(); ++id) {
        const Operand& operand = program.operands[id];
        if (operand.role == Role::input)
            tensors[id] = input_tensor(operand, graph, inputs).data();
        else
            sums[id].resize(graph.rows(operand.row) * operand.width);
    }
    for (const Term& term : program.terms) add_term(program, term, graph, tensors, sums);

    std::map<std::string, OracleTensor> results;
    for (std::size_t id = 0; id < program.operands.size(); ++id) {
        const Operand& operand = program.operands[id];
        if (operand.role != Role::output) continue;
        results.emplace(operand.name, finish(sums[id])).first->second.storage = operand.storage;
    }
    return results;
}

double error_bound(double eps, std::int64_t terms, double magnitude) {
    return 8 * eps * std::sqrt(static_cast<double>(terms)) * magnitude;
}

double error_bound(double eps, const OracleTensor& tensor, std::size_t component) {
    const double bound = error_bound(eps, tensor.terms[component], tensor.magnitude[component]);
    if (!tensor.storage) return bound;
    constexpr double least_normal_float16 = 0x1p-14;
    const double least = *tensor.storage == DType::float16 ? least_normal_float16 : std::numeric_limits<float>::min();
    return bound + epsilon(*tensor.storage) / 2 * std::max(std::fabs(tensor.value[component]) + bound, least);
}

}  // namespace flashtp
