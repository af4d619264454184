// Which pointer each argument of a kernel is.
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "ir/kernel.hpp"
#include "runtime/graph_view.hpp"

namespace flashtp {

/// The arguments of a kernel by their place in a program's operands (>= 0) or in the graph (below 0). The index arrays of a
/// kernel are called row_ptr, sender and edge.
class ArgumentList {
  public:
    static constexpr int least_source = -6;

    ArgumentList(const Kernel&, const std::vector<Operand>& operands);
    explicit ArgumentList(std::vector<int> sources) : sources_(std::move(sources)) {}
    friend bool operator==(const ArgumentList&, const ArgumentList&) = default;

    /// In the order of Kernel::buffers without tables.
    std::vector<void*> pointers(std::span<void* const> operands, const GraphView&) const;
    /// Operand of each argument, or a negative number.
    const std::vector<int>& sources() const { return sources_; }

  private:
    std::vector<int> sources_;
};

/// An output of a program with what the launcher owes it.
struct OutputRule {
    int operand = 0;
    Row row = Row::edge;
    std::int64_t width = 0;
    DType dtype = DType::float32;
    bool zeroed = false;       ///< before the first kernel: added to, written in part, or by no kernel at all
    bool shared_rows = false;  ///< several warps or threads add to one row

    std::int64_t row_bytes() const { return width * static_cast<std::int64_t>(size_of(dtype)); }
    friend bool operator==(const OutputRule&, const OutputRule&) = default;
};
/// Every output operand; `dtype` is that of outputs no kernel mentions.
std::vector<OutputRule> output_rules(const std::vector<Kernel>&, const std::vector<Operand>& operands, DType dtype);

}  // namespace flashtp
