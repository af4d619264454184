// Runs a kernel on the host and checks everything a device would not: bounds, races, barriers, the ring.
//
// Each warp runs on its own, lanes in lock step; warps share nothing but global memory, where every element remembers who wrote
// it. Shared memory remembers by word which lane wrote and read it since the last SyncWarp, or which stage filled it.
#pragma once

#include <cstdint>
#include <vector>

#include "ir/kernel.hpp"

namespace flashtp {

/// Memory of one kernel argument. Element 0 counts as aligned for every copy, whatever the host address is.
struct InterpreterBuffer {
    void* data = nullptr;  ///< null: an index buffer that is the identity
    std::int64_t elements = 0;
};

struct InterpreterArguments {
    std::vector<InterpreterBuffer>
        buffers;  ///< in the order of Kernel::buffers without tables; the caller zeroes what is `zeroed`
    std::int64_t rows = 0;
    int rows_per_warp = 0;  ///< 0: the kernel's default on a GPU; on a CPU all rows in one call, else rows a call (a thread)
    int shares = 0;         ///< not 0: so many warps a task and chunk share all edges evenly, whatever their rows
    std::uint64_t shuffled = 0;    ///< not 0: warps of a GPU run in an order drawn from it, else one after the other
    std::int64_t edge_begin = 0, edge_end = -1;  ///< of a kernel with windows: the edges it does; -1: all
    bool complete_outputs = true;  ///< an element of an output that is not zeroed has to be written
};

/// Throws InternalError that names the statement, the lane and the element when the kernel breaks a rule of ir/kernel.hpp.
void interpret(const Kernel&, const InterpreterArguments&);

}  // namespace flashtp
