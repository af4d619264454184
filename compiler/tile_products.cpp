#include "compiler/tile_products.hpp"

#include <algorithm>

#include "compiler/products.hpp"

namespace flashtp {

namespace {

class TermReader {
  public:
    bool read(const EdgeProgram& part) {
        for (const std::vector<Product>& group : read_products(part))
            for (const Product& product : group)
                if (!(product.b ? read_term(part, product) : read_bias(part, product))) return false;
        return take_biases();
    }
    std::vector<TileTerm> terms;

  private:
    /// One factor is a tile, one rows of the layer, one its matrix, whose columns are those of the tile.
    bool read_term(const EdgeProgram& part, const Product& product) {
        TileTerm term{.hidden = product.hidden, .factor = product.coefficient};
        const Factor *tile = nullptr, *rows = nullptr, *matrix = nullptr;
        for (const Factor* f : {&product.dst, &product.a, &*product.b}) (f->edge ? f->column ? tile : rows : matrix) = f;
        if (!tile || !rows || !matrix) return false;
        term.tile = part.operands[tile->operand];
        term.rows = part.operands[rows->operand];
        term.matrix = part.operands[matrix->operand];
        term.pitch = product.hidden > 1 ? matrix->hidden_stride : product.columns;  // a single row has no distance
        term.result = rows == &product.dst ? TileTerm::rows_gradient : matrix == &product.dst ? TileTerm::matrix_gradient : TileTerm::weights;
        terms.push_back(term);
        return tile->first == 0 && matrix->first == 0 && rows->first == 0 && product.columns == term.tile.width;
    }

    bool read_bias_gradient(const EdgeProgram& part, const Product& product) {
        TileTerm term{.result = TileTerm::matrix_gradient, .tile = part.operands[product.a.operand], .rows = {}, .matrix = part.operands[product.dst.operand]};
        term.pitch = product.columns;
        term.factor = product.coefficient;
        terms.push_back(term);
        return product.dst.first == 0 && product.a.first == 0 && product.a.edge && product.columns == term.tile.width;
    }

    bool read_bias(const EdgeProgram& part, const Product& product) {
        if (!product.dst.edge) return read_bias_gradient(part, product);
        if (product.coefficient != 1 || product.dst.first != 0 || product.a.first != 0) return false;
        biases_.emplace_back(part.operands[product.dst.operand].name, part.operands[product.a.operand]);
        return product.columns == part.operands[product.dst.operand].width;
    }

    /// A bias goes with the first product of its tile.
    bool take_biases() {
        for (const auto& [tile, bias] : biases_) {
            const auto of_tile =
                std::ranges::find_if(terms, [&](const TileTerm& t) { return t.result == TileTerm::weights && t.tile.name == tile; });
            if (of_tile == terms.end()) return false;
            of_tile->bias = bias;
        }
        biases_.clear();
        return true;
    }

    std::vector<std::pair<std::string, Operand>> biases_;
};

}  // namespace

std::optional<std::vector<TileTerm>> tile_terms(const LayerSplit& split) {
    TermReader reader;
    if (!reader.read(split.before) || !reader.read(split.after)) return std::nullopt;
    return std::move(reader.terms);
}

}  // namespace flashtp
