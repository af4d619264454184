// Deterministic additions on a GPU: instead of adding to one element in whatever order they run, warps keep their parts of a sum
// beside each other in rows of their own, and a kernel of its own adds the parts up in a fixed order.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "compiler/nest.hpp"
#include "compiler/outputs.hpp"
#include "ir/dtype.hpp"
#include "ir/edge_program.hpp"
#include "ir/schedule.hpp"
#include "ir/target.hpp"

namespace flashtp {

/// Where a task puts its part of an output value: in a row of `pitch` elements, `offset` behind the value's own place in its row.
struct PartPlace {
    std::string buffer;
    std::int64_t pitch = 0, offset = 0;
    std::int64_t chunk_step = 0;  ///< to the part of the task's next chunk
};

/// Columns of an operand whose sums have the same parts: copies of the operand's row within a row of parts.
struct PartColumns {
    std::int64_t first = 0, count = 0;
    std::vector<int> copies;
};

/// An output and its parts. A row of the output is the sum of all parts of one row, and of a sender's edges.
struct PartialSum {
    Operand output, parts;
    std::vector<PartColumns> columns;
    bool zeroed = false;  ///< parts are added to

    bool by_range() const { return output.row == Row::shared; }
};

struct PartialSums {
    std::vector<PartialSum> sums;
    std::vector<std::map<ValueId, PartPlace>> places;  ///< by task, of the values that are kept in parts
};

/// Every output with rows that several warps add to is kept in parts from now on; `modes` become what the tasks do to them.
PartialSums keep_parts(const EdgeProgram&, const std::vector<Nest>&, int lanes, std::vector<StoreModes>& modes);

/// Ranges of rows that have parts of a shared row: enough warps to fill a device, but their parts take little memory.
std::int64_t most_ranges(const std::vector<PartialSum>&, DType);
/// Ranges that the parts of a shared row are added up in first: each takes about as many steps as adding up the ranges.
inline constexpr std::int64_t ranges_of_parts = 32;

/// What adds the parts up: a program whose receivers are the rows of the output, and how it runs.
EdgeProgram sum_program(const PartialSum&);
Schedule sum_schedule(const PartialSum&, const Target&, int lanes);

}  // namespace flashtp
