// What GPU kernels do at the edges of a convolution whose weights have a tile: products that a task can do by itself.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "compiler/split_layer.hpp"

namespace flashtp {

/// tile[edge, column] += factor * sum over hidden channels of rows[edge, hidden] * matrix[hidden, column], and `bias` where there is one;
/// or rows[edge, hidden] += factor * sum over columns of tile[edge, column] * matrix[hidden, column]; or matrix[hidden, column] += factor * sum
/// over edges of rows[edge, hidden] * tile[edge, column], or of tile[edge, column] alone.
struct TileTerm {
    enum Result { weights, rows_gradient, matrix_gradient } result = weights;
    Operand tile, rows, matrix;       ///< of a bias's gradient there are no rows, and the matrix has one
    std::optional<Operand> bias;
    std::int64_t hidden = 1, pitch = 0;  ///< rows of the matrix and their distance
    double factor = 1;

    bool without_rows() const { return rows.name.empty(); }
};

/// All products of the layer; nothing where one is of another kind.
std::optional<std::vector<TileTerm>> tile_terms(const LayerSplit&);

}  // namespace flashtp
