// Row maps of a convolution, and named tensors in double: what the evaluators run on.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "ir/view.hpp"

namespace flashtp {

/// Edges with the sender row they read and the receiver row they add to. A plain batch has senders = receivers = edges and
/// empty maps.
struct Graph {
    std::int64_t edges = 0, senders = 0, receivers = 0;
    std::vector<std::int32_t> sender, receiver;

    std::int64_t rows(Row row) const { return row_count(row, edges, senders, receivers); }
    /// Row of an operand that an edge touches.
    std::int64_t row_of(Row row, std::int64_t edge) const {
        switch (row) {
            case Row::edge: return edge;
            case Row::sender: return sender.empty() ? edge : sender[edge];
            case Row::receiver: return receiver.empty() ? edge : receiver[edge];
            case Row::shared: return 0;
        }
        return 0;
    }
};

/// Operand name -> [rows][width], row-major.
using Tensors = std::map<std::string, std::vector<double>>;

}  // namespace flashtp
