// The edges of a graph in another order.
#pragma once

#include <cstdint>
#include <vector>

#include "ir/view.hpp"
#include "runtime/self_check.hpp"

namespace flashtp::test {

/// Edges whose (receiver, sender) pairs differ, in random order.
Graph distinct_edges(std::int64_t edges, std::int32_t nodes, std::uint64_t seed);

/// A random order of a graph's edges.
class EdgeOrder {
  public:
    EdgeOrder(std::int64_t edges, std::uint64_t seed);

    /// The same edges, with their rows of inputs.
    Sample reordered(const Sample&, const std::vector<Operand>&) const;
    /// Rows of edge outputs where they were before.
    Tensors back(Tensors outputs, const std::vector<Operand>&) const;

  private:
    std::vector<std::size_t> order_;  ///< by edge, which one it was
};

}  // namespace flashtp::test
