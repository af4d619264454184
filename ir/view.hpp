// Operands, the rows they have, and the affine views through which programs read and write them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ir/dtype.hpp"

namespace flashtp {

/// What a row of an operand belongs to. Edges refine senders, receivers and the one shared row.
enum class Row { edge, sender, receiver, shared };
enum class Role { input, output };

/// How many rows of a kind a graph with these counts has.
constexpr std::int64_t row_count(Row row, std::int64_t edges, std::int64_t senders, std::int64_t receivers) {
    switch (row) {
        case Row::edge: return edges;
        case Row::sender: return senders;
        case Row::receiver: return receivers;
        case Row::shared: return 1;
    }
    return 0;
}

/// A matrix [rows of its kind][width] the caller provides (input) or receives (output).
struct Operand {
    std::string name;
    std::int64_t width = 0;
    Row row = Row::edge;
    Role role = Role::input;
    bool tile = false;  ///< of a thread's own: its rows are the edges it works on, in the order of receivers
    std::optional<DType> storage = {};  ///< of its elements in memory, where it is not the arithmetic's
    bool stored_once = false;           ///< no element of a gradient in it is a sum over edges or channels: these have its storage too
    friend bool operator==(const Operand&, const Operand&) = default;
};

struct ViewAxis {
    std::int64_t extent = 1, stride = 0;
    friend bool operator==(const ViewAxis&, const ViewAxis&) = default;
};

/// The first axis of a triangular mode runs over pairs u < v (row-major upper triangle) and means channel u or channel v.
struct PairAxis {
    std::int64_t multiplicity = 0;
    bool second = false;
    friend bool operator==(const PairAxis&, const PairAxis&) = default;
};

/// Positions in a row: offset + sum of stride * index over the axes + component_stride * component. Layouts, the (u,v) split of
/// a uvuv output and the pairs of triangular modes are all views; channels are never enumerated.
struct View {
    std::int64_t offset = 0;
    std::vector<ViewAxis> axes;
    int components = 1;
    std::int64_t component_stride = 1;
    std::optional<PairAxis> pair;

    std::int64_t position(const std::vector<std::int64_t>& indices, int component) const;
    /// One past the largest position.
    std::int64_t end() const;
    friend bool operator==(const View&, const View&) = default;
};

/// The operand's adjoint or tangent. What is summed in memory keeps the arithmetic's type.
Operand twin_of(const Operand&, std::string_view prefix, Role);

/// The q-th pair u < v of m channels, row-major upper triangle.
std::pair<std::int64_t, std::int64_t> unrank_pair(std::int64_t multiplicity, std::int64_t q);

std::string_view to_string(Row);
std::string_view to_string(Role);
std::string to_string(const View&);

}  // namespace flashtp
