// How every output leaves its task: who else writes the same elements decides between a store and an addition.
#pragma once

#include <vector>

#include "compiler/nest.hpp"
#include "ir/kernel.hpp"

namespace flashtp {

/// Store modes of a task's outputs, by value.
using StoreModes = std::vector<StoreMode>;

/// For every task, how its outputs are written. A value is stored where this task alone writes these elements, once; it is added
/// where the same warp comes back to them, and added atomically where another warp may: several tasks or chunks of a grid, sender
/// rows, the shared row. `one_warp_a_row`: all tasks and chunks of a row run one after the other, as on a CPU.
std::vector<StoreModes> choose_store_modes(const std::vector<Nest>& nests, bool one_warp_a_row);

/// An output that a task writes.
struct Written {
    std::size_t nest;
    ValueId value;
};
std::vector<Written> written_outputs(const std::vector<Nest>& nests);
/// Whether two of them may write one element.
bool meet(const std::vector<Nest>& nests, const Written&, const Written&);
/// Whether chunks of a grid, which run in no order, meet in the value's elements.
bool chunks_meet(const Nest&, ValueId);

/// Elements of a row of the operand that are stored (not added) by all tasks together.
std::int64_t stored_elements(const std::vector<Nest>& nests, const std::vector<StoreModes>& modes, OperandId operand);

/// Number of channels of its lane axis a task covers over all its chunks.
std::int64_t channels_of(const Task& task);

}  // namespace flashtp
