// What a GPU kernel does at the edges of a convolution whose weights have a tile: products that one of its tasks can do by itself.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "compiler/split_layer.hpp"

namespace flashtp {

/// tile[edge, column] += factor * sum over hidden channels of rows[edge, hidden] * matrix[hidden, column], and `bias` where there is one;
/// or, with `returned`, rows[edge, hidden] += factor * sum over columns of tile[edge, column] * matrix[hidden, column].
struct TileTerm {
    Operand tile, rows, matrix;
    std::optional<Operand> bias;
    std::int64_t hidden = 1, pitch = 0;  ///< rows of the matrix and their distance
    double factor = 1;
    bool returned = false;
};

/// All products of the layer; nothing where one is of another kind, such as a sum over edges.
std::optional<std::vector<TileTerm>> tile_terms(const LayerSplit&);

}  // namespace flashtp
