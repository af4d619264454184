#include "compiler/factor.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <tuple>

#include "compiler/linear_forms.hpp"
#include "compiler/merge_products.hpp"
#include "ir/error.hpp"
#include "ir/nearest.hpp"

namespace flashtp {

namespace {

std::string merged(const std::string& a, const std::string& b) {
    std::string all = a + b;
    std::ranges::sort(all);
    all.erase(std::ranges::unique(all).begin(), all.end());
    return all;
}

bool contains_all(const std::string& labels, const std::string& wanted) {
    return std::ranges::all_of(wanted, [&](char label) { return labels.find(label) != std::string::npos; });
}

/// Row of an intermediate value. Kernels gather a sender's row once an edge, so what is made from it belongs to the edge.
Row intermediate_row(Row a, Row b) {
    const Row row = join(a, b);
    return row == Row::sender ? Row::edge : row;
}

/// The uses of one path: its operands as values, with labels. `path` is also the statements' path id.
struct PathUses {
    const Path* path;
    int id;
    Use x, y, z;
    std::optional<Use> w;
};

/// Products shared by the paths that read the same segments with the same labels, merged once all of them are known.
struct Products {
    std::vector<LinearForm> rows;                       ///< of all paths, in products: x_i y_j is number i * (components of y) + j
    std::map<std::pair<int, int>, std::size_t> row_of;  ///< by path and component k
    MergedProducts merged;
    ValueId value = -1;
};

class Factorizer {
  public:
    Factorizer(const PathProgram& forward, Factoring factoring, int order) : forward_(forward), factoring_(factoring), order_(order) {
        out_.operands = forward.operands;
    }

    EdgeProgram run() {
        number_segments();
        std::vector<PathUses> paths;
        for (const Term& term : forward_.terms) {
            if (!add_to_weights(term)) paths.push_back(uses_of(term));
        }
        if (by_products()) {
            for (const PathUses& p : paths)
                if (!scales_a_number(p)) collect_products(p);
        }
        for (const PathUses& p : paths) emit_path(p);
        return std::move(out_);
    }

  private:
    // ---- operands

    /// Segments are numbered by their place among the segments of the operand that some path uses.
    void number_segments() {
        for (const Term& term : forward_.terms) {
            if (term.written != slot_z) internal_error("factor takes a forward program, not its derivative");
            const Path& path = forward_.paths.at(term.path);
            for (const Slot slot : {slot_x, slot_y, slot_z, slot_h}) {
                if (path.views[slot]) offsets_[term.operand[slot]].insert(path.views[slot]->offset);
            }
        }
    }

    std::string segment_name(OperandId operand, const View& view) const {
        const auto& offsets = offsets_.at(operand);
        const auto rank = std::distance(offsets.begin(), offsets.find(view.offset));
        std::string name = fmt::format("{}{}", out_.operands[operand].name, rank);
        if (view.pair) name += view.pair->second ? "_second" : "_first";
        return name;
    }

    ValueId add_value(std::string name, std::vector<std::int64_t> extents, int components, Row row) {
        while (!names_.insert(name).second) name += "_";
        out_.values.push_back({name, std::move(extents), components, row, std::nullopt});
        return static_cast<ValueId>(out_.values.size()) - 1;
    }

    ValueId add_operand_value(const std::string& name, OperandId operand, const View& view) {
        std::vector<std::int64_t> extents;
        for (const ViewAxis& axis : view.axes) extents.push_back(axis.extent);
        const ValueId id = add_value(name, extents, view.components, out_.operands[operand].row);
        out_.values[id].binding = Binding{operand, view};
        return id;
    }

    /// One value for every view of x, y and z, whichever paths use it.
    ValueId segment_value(OperandId operand, const View& view) {
        auto& candidates = segments_[{operand, view.offset}];
        for (const ValueId id : candidates) {
            if (out_.values[id].binding->view == view) return id;
        }
        candidates.push_back(add_operand_value(segment_name(operand, view), operand, view));
        return candidates.back();
    }

    PathUses uses_of(const Term& term) {
        const Path& path = forward_.paths[term.path];
        PathUses p{&path, term.path, use(term, slot_x), use(term, slot_y), use(term, slot_z), std::nullopt};
        if (has_hidden_layer(path)) p.w = produced_weights(term);
        else if (path.views[slot_w]) p.w = given_weights(term);
        return p;
    }

    Use use(const Term& term, Slot slot) {
        const Path& path = forward_.paths[term.path];
        return {segment_value(term.operand[slot], *path.views[slot]), path.labels[slot]};
    }

    Use given_weights(const Term& term) {
        const Path& path = forward_.paths[term.path];
        const OperandId w = term.operand[slot_w];
        const std::string& operand = out_.operands[w].name;
        const std::string name = fmt::format("{}{}{}", operand, operand == "W2" ? "_" : "", term.path);
        return {add_operand_value(name, w, *path.views[slot_w]), path.labels[slot_w]};
    }

    /// Radial weights: one more statement, whose hidden axis is summed.
    Use produced_weights(const Term& term) {
        const Use h = use(term, slot_h), matrix = given_weights(term);
        std::string labels = matrix.labels;
        std::erase_if(labels, [&](char label) { return h.labels.find(label) != std::string::npos; });
        const Row row = intermediate_row(value(h).row, value(matrix).row);
        const Use w{add_value(fmt::format("w{}", term.path), extents_of(labels, matrix, matrix), 1, row), labels};
        emit(term.path, w, h, matrix, {{0, 0, 0, term.scale}});
        produced_.emplace(forward_.paths[term.path].instruction, std::pair(term.path, w));
        return w;
    }

    /// Weights that come from elsewhere as well: a second path of one instruction adds to what the first one multiplies with.
    bool add_to_weights(const Term& term) {
        const auto found = produced_.find(forward_.paths[term.path].instruction);
        if (found == produced_.end()) return false;
        const auto& [path, w] = found->second;
        emit(path, w, given_weights(term), std::nullopt, {{0, 0, 0, term.scale}});
        return true;
    }

    // ---- statements

    const Value& value(const Use& use) const { return out_.values[use.value]; }

    std::vector<std::int64_t> extents_of(const std::string& labels, const Use& a, const Use& b) const {
        std::vector<std::int64_t> extents;
        for (const char label : labels) {
            const Use& use = a.labels.find(label) != std::string::npos ? a : b;
            extents.push_back(value(use).extents[use.labels.find(label)]);
        }
        return extents;
    }

    void emit(int path, Use dst, Use a, std::optional<Use> b, std::vector<Entry> entries) {
        out_.statements.push_back({path, std::move(dst), std::move(a), std::move(b), std::move(entries)});
    }

    void emit_path(const PathUses& p) {
        if (by_products()) {
            emit_products_path(p);
        } else {
            emit_forms_path(p);
        }
    }

    Products& products_of(const PathUses& p) { return products_[{p.x.value, p.y.value, p.x.labels, p.y.labels}]; }

    bool by_products() const { return factoring_ == Factoring::products || factoring_ == Factoring::merged; }

    void collect_products(const PathUses& p) {
        Products& products = products_of(p);
        for (const Coefficient& c : p.path->coefficients) {
            const auto [row, fresh] = products.row_of.emplace(std::pair{p.id, c.k}, products.rows.size());
            if (fresh) products.rows.emplace_back();
            products.rows[row->second].emplace_back(c.i * value(p.y).components + c.j, c.value);
        }
    }

    /// A weight of the path's own times the only component of x or y, which all other components share: z_k += (w x_0) y_k.
    bool scales_a_number(const PathUses& p) const {
        if (factoring_ != Factoring::merged || order_ > 0 || !p.w || value(*p.w).row != Row::edge) return false;
        const auto& terms = p.path->coefficients;
        const bool single = value(p.x).components == 1 || value(p.y).components == 1;
        const bool equal = std::ranges::all_of(terms, [&](const Coefficient& c) { return c.value == terms.front().value; });
        return single && terms.size() > 1 && equal && merged(p.w->labels, "") == merged(p.x.labels, p.y.labels);
    }

    void emit_scaled_number(const PathUses& p) {
        const bool of_x = value(p.x).components == 1;
        const Use &number = of_x ? p.x : p.y, &others = of_x ? p.y : p.x;
        const Use scaled{add_value(fmt::format("s{}", p.id), value(*p.w).extents, 1, Row::edge), p.w->labels};
        emit(p.id, scaled, *p.w, number, {{0, 0, 0, p.path->coefficients.front().value}});
        std::vector<Entry> entries;
        for (const Coefficient& c : p.path->coefficients) entries.push_back({c.k, 0, of_x ? c.j : c.i, 1.0});
        emit(p.id, p.z, scaled, others, std::move(entries));
    }

    void emit_products_path(const PathUses& p) {
        if (scales_a_number(p)) return emit_scaled_number(p);
        Products& products = products_of(p);
        const std::string labels = merged(p.x.labels, p.y.labels);
        if (products.value < 0) emit_products(p, products, labels);
        std::map<int, LinearForm> rows;  // by k
        for (auto at = products.row_of.lower_bound({p.id, 0}); at != products.row_of.end() && at->first.first == p.id; ++at)
            rows[at->first.second] = products.merged.rows[at->second];
        const Use sums{products.value, labels};
        if (factoring_ == Factoring::merged && p.w && contains_all(labels, p.w->labels)) return emit_scaled_rows(p, sums, rows);
        std::vector<Entry> entries;
        for (const auto& [k, row] : rows)
            for (const auto& [sum, c] : row) entries.push_back({k, sum, 0, c});
        emit_sum(p, sums, std::nullopt, std::move(entries));
    }

    void emit_products(const PathUses& p, Products& products, const std::string& labels) {
        // Costs no pair is worth leave the products as they are.
        const MergeCosts costs = factoring_ == Factoring::merged ? merge_costs(order_) : MergeCosts{1, 0};
        products.merged = merge_products(products.rows, costs);
        const std::string name = fmt::format("p_{}_{}", value(p.x).name, value(p.y).name);
        products.value = add_value(name, extents_of(labels, p.x, p.y), static_cast<int>(products.merged.sums.size()),
                                   intermediate_row(value(p.x).row, value(p.y).row));
        const int width = value(p.y).components;
        std::vector<Entry> entries;
        for (std::size_t sum = 0; sum < products.merged.sums.size(); ++sum)
            for (const auto& [number, sign] : products.merged.sums[sum])
                entries.push_back({static_cast<int>(sum), number / width, number % width, sign});
        emit(-1, {products.value, labels}, p.x, p.y, std::move(entries));
    }

    /// z_k += (scale w) r_k, where r_k has a coefficient 1: of rows that share a scale, each saves the product that scales its first term.
    void emit_scaled_rows(const PathUses& p, const Use& sums, const std::map<int, LinearForm>& rows) {
        std::vector<LinearForm> forms;
        for (const auto& [k, form] : rows) forms.push_back(form);
        const std::vector<double> scales = common_scales(forms, order_ == 0 ? 2 : 3);
        std::vector<Entry> entries, plain;
        std::map<double, std::vector<int>> scaled;  // rows by scale
        int row = 0;
        for (const auto& [k, form] : rows) {
            for (const auto& [sum, c] : divided(form, scales[row])) entries.push_back({k, sum, 0, c});
            if (scales[row] == 1) plain.push_back({k, 0, k, 1.0});
            else scaled[scales[row]].push_back(k);
            ++row;
        }
        const Use r = emit_rows(p, sums, std::nullopt, std::move(entries));
        if (!plain.empty()) emit(p.id, p.z, *p.w, r, std::move(plain));
        if (!scaled.empty()) emit_scaled_weight(p, r, scaled);
    }

    void emit_scaled_weight(const PathUses& p, const Use& r, const std::map<double, std::vector<int>>& rows_by_scale) {
        const Value w = value(*p.w);
        const Use scaled{add_value(w.name + "_scaled", w.extents, static_cast<int>(rows_by_scale.size()),
                                   intermediate_row(w.row, Row::shared)), p.w->labels};
        std::vector<Entry> scale, entries;
        for (const auto& [factor, rows] : rows_by_scale) {
            for (const int k : rows) entries.push_back({k, static_cast<int>(scale.size()), k, 1.0});
            scale.push_back({static_cast<int>(scale.size()), 0, 0, factor});
        }
        emit(p.id, scaled, *p.w, std::nullopt, std::move(scale));
        emit(p.id, p.z, scaled, r, std::move(entries));
    }

    /// The linear forms M of one y segment, those of later paths included: its statement grows while paths are added.
    struct Forms {
        LinearForms forms;
        ValueId value = -1;
        std::size_t statement = 0;
    };

    Forms& forms_of(const PathUses& p) {
        Forms& shared = forms_[p.y.value];
        if (shared.value < 0) {
            const Value y = value(p.y);
            shared.value = add_value("M_" + y.name, y.extents, 0, intermediate_row(y.row, Row::shared));
            shared.statement = out_.statements.size();
            emit(-1, {shared.value, p.y.labels}, p.y, std::nullopt, {});
        }
        return shared;
    }

    /// Component and scale of the form with which x_i adds to z_k.
    ScaledForm add_form(Forms& shared, const LinearForm& form) {
        const ScaledForm scaled = shared.forms.find_or_add(form);
        Value& m = out_.values[shared.value];
        if (scaled.component < m.components) return scaled;
        m.components = scaled.component + 1;
        auto& entries = out_.statements[shared.statement].entries;
        for (const auto& [j, c] : form) entries.push_back({scaled.component, j, 0, scaled.sign * c});
        return scaled;
    }

    void emit_forms_path(const PathUses& p) {
        Forms& shared = forms_of(p);
        std::map<std::pair<int, int>, LinearForm> by_component;  // (k, i): a sum is in a register for all of its terms
        for (const Coefficient& c : p.path->coefficients) by_component[{c.k, c.i}].emplace_back(c.j, c.value);
        std::vector<Entry> entries;
        for (auto& [ki, form] : by_component) {
            std::ranges::sort(form);
            const ScaledForm scaled = add_form(shared, form);
            entries.push_back({ki.first, scaled.component, ki.second, scaled.sign});
        }
        const Use m{shared.value, p.y.labels};
        if (weight_comes_first(p)) {
            emit(p.id, p.z, m, emit_weighted_x(p), std::move(entries));
        } else {
            emit_sum(p, m, p.x, std::move(entries));
        }
    }

    bool weight_comes_first(const PathUses& p) const {
        if (factoring_ != Factoring::weights_first || !p.w || value(*p.w).row != Row::edge) return false;
        return contains_all(merged(p.x.labels, p.y.labels), p.w->labels);
    }

    Use emit_weighted_x(const PathUses& p) {
        const std::string labels = merged(p.x.labels, p.w->labels);
        const int components = value(p.x).components;
        const ValueId id = add_value(fmt::format("s{}", p.id), extents_of(labels, p.x, *p.w), components,
                                     intermediate_row(value(p.x).row, value(*p.w).row));
        std::vector<Entry> entries;
        for (int i = 0; i < components; ++i) entries.push_back({i, 0, i, 1.0});
        emit(p.id, {id, labels}, *p.w, p.x, std::move(entries));
        return {id, labels};
    }

    /// The sum over the components of x and y: straight into z without a weight, else through r.
    void emit_sum(const PathUses& p, const Use& a, std::optional<Use> b, std::vector<Entry> entries) {
        if (!p.w) return emit(p.id, p.z, a, std::move(b), std::move(entries));
        std::set<int> written;
        for (const Entry& e : entries) written.insert(e.dst);
        const Use r = emit_rows(p, a, std::move(b), std::move(entries));
        std::vector<Entry> scaled;
        for (const int k : written) scaled.push_back({k, 0, k, 1.0});
        emit(p.id, p.z, *p.w, r, std::move(scaled));
    }

    Use emit_rows(const PathUses& p, const Use& a, std::optional<Use> b, std::vector<Entry> entries) {
        const std::string labels = merged(p.x.labels, p.y.labels);
        const Use r{add_value(fmt::format("r{}", p.id), extents_of(labels, p.x, p.y), value(p.z).components,
                              intermediate_row(value(p.x).row, value(p.y).row)), labels};
        emit(p.id, r, a, std::move(b), std::move(entries));
        return r;
    }

    using ProductsKey = std::tuple<ValueId, ValueId, std::string, std::string>;

    const PathProgram& forward_;
    const Factoring factoring_;
    const int order_;
    EdgeProgram out_;
    std::set<std::string> names_;
    std::map<OperandId, std::set<std::int64_t>> offsets_;
    std::map<std::pair<OperandId, std::int64_t>, std::vector<ValueId>> segments_;
    std::map<ProductsKey, Products> products_;
    std::map<ValueId, Forms> forms_;
    std::map<int, std::pair<int, Use>> produced_;  ///< by instruction: its path and the weights made for it
};

}  // namespace

std::string_view to_string(Factoring factoring) {
    switch (factoring) {
    case Factoring::merged: return "merged";
    case Factoring::products: return "products";
    case Factoring::coefficients: return "coefficients";
    case Factoring::weights_first: return "weights_first";
    }
    return "?";
}

Factoring parse_factoring(std::string_view name) {
    const Factoring all[] = {Factoring::merged, Factoring::products, Factoring::coefficients, Factoring::weights_first};
    std::vector<std::string_view> names;
    for (const Factoring f : all) {
        if (name == to_string(f)) return f;
        names.push_back(to_string(f));
    }
    user_error("factoring \"{}\" is unknown{}; known: {}", name, did_you_mean(name, names), fmt::join(names, ", "));
}

EdgeProgram factor(const PathProgram& forward, Factoring factoring, int order) {
    return Factorizer(forward, factoring, order).run();
}

}  // namespace flashtp
