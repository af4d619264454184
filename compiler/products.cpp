#include "compiler/products.hpp"

#include <algorithm>

#include "ir/error.hpp"

namespace flashtp {

namespace {

/// Paths' slices of the columns that lie side by side are one product.
bool continues(Product product, Product next) {
    if (product.coefficient != next.coefficient || product.b.has_value() != next.b.has_value()) return false;
    const std::vector<Factor*> all = product.factors(), following = next.factors();
    for (std::size_t f = 0; f < all.size(); ++f) {
        Factor moved = *all[f];
        if (moved.column) moved.first += product.columns;
        if (moved != *following[f]) return false;
    }
    return product.hidden == next.hidden;
}

class ProductReader {
  public:
    explicit ProductReader(const EdgeProgram& program) : program_(program) {}

    std::vector<std::vector<Product>> run() {
        std::vector<Product> all, joined;
        for (const Statement& s : program_.statements) all.push_back(product_of(s));
        // Adjoint statements stand in the opposite order.
        std::ranges::stable_sort(all, {}, first_column);
        for (const Product& product : all) add(joined, product);
        std::vector<std::vector<Product>> groups;
        for (const Product& product : joined) {
            const auto same = std::ranges::find_if(
                groups, [&](const auto& group) { return group[0].dst == product.dst && group[0].columns == product.columns; });
            same == groups.end() ? groups.push_back({product}) : same->push_back(product);
        }
        return groups;
    }

  private:
    static std::int64_t first_column(const Product& p) {
        return p.dst.column ? p.dst.first : p.a.column ? p.a.first : p.b ? p.b->first : 0;
    }

    static void add(std::vector<Product>& products, const Product& next) {
        const auto before = std::ranges::find_if(products, [&](const Product& p) { return continues(p, next); });
        if (before == products.end())
            products.push_back(next);
        else
            before->columns += next.columns;
    }

    Product product_of(const Statement& s) {
        if (s.entries.size() != 1)
            internal_error("a product has one coefficient, not {}\n{}", s.entries.size(), to_string(program_));
        Product p;
        p.coefficient = s.entries[0].value;
        const std::string hidden = hidden_label(s);
        p.dst = factor_of(s.dst, hidden, p);
        p.a = factor_of(s.a, hidden, p);
        if (s.b) p.b = factor_of(*s.b, hidden, p);
        return p;
    }

    /// The label of the layer's own rows: rows of edges that are not in a tile.
    std::string hidden_label(const Statement& s) const {
        std::string label;
        const auto look = [&](const Use& use) {
            const Value& value = program_.values[use.value];
            if (value.row == Row::edge && !program_.operands[value.binding->operand].tile) label = use.labels;
        };
        look(s.dst);
        look(s.a);
        if (s.b) look(*s.b);
        return label;
    }

    // The columns of a value are dense and in order, as many axes as they have.
    Factor factor_of(const Use& use, const std::string& hidden, Product& p) const {
        const Value& value = program_.values[use.value];
        const Operand& operand = program_.operands[value.binding->operand];
        Factor f;
        f.operand = value.binding->operand;
        f.first = value.binding->view.offset;
        f.edge = value.row == Row::edge;
        f.column = operand.tile || !f.edge;
        std::int64_t columns = 1;
        for (std::size_t axis = 0; axis < use.labels.size(); ++axis) {
            const ViewAxis& view = value.binding->view.axes[axis];
            if (hidden.find(use.labels[axis]) == std::string::npos) {
                columns *= view.extent;
                continue;
            }
            f.hidden = true;
            f.hidden_stride = view.stride;
            p.hidden = view.extent;
        }
        if (f.column) p.columns = columns;
        return f;
    }

    const EdgeProgram& program_;
};

}  // namespace

std::vector<std::vector<Product>> read_products(const EdgeProgram& program) { return ProductReader(program).run(); }

}  // namespace flashtp
