// The receiver index: edges of a graph grouped by the row that receives them (CSR), and the same by sender.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "ir/graph.hpp"
#include "runtime/graph_view.hpp"

namespace flashtp {

/// Edges as the user has them, in any order: int32 or int64 arrays of rows.
template <class Int>
struct EdgeList {
    std::span<const Int> sender, receiver;
    std::int64_t senders = 0, receivers = 0;
    /// Edges of one receiver in the order of their senders, so that sums do not depend on the order of the edges; else, and those of one
    /// sender, in the order they had.
    bool by_sender = false;
};

/// Where build_receiver_index writes.
struct ReceiverIndexArrays {
    std::int32_t* row_ptr = nullptr;  ///< [receivers + 1]
    std::int32_t* sender = nullptr;   ///< [edges] in receiver order
    std::int32_t* edge = nullptr;     ///< [edges] in receiver order: where the edge was
};

/// Returns whether the edges were in that order already: then `edge` is the identity, and kernels run faster when they get
/// null instead. Throws UserError naming the first edge with a row out of range, or a count beyond 32 bits.
///
/// The transpose is the same call with senders and receivers exchanged: row_ptr[senders + 1] groups edges by sender, and
/// `sender` holds their receivers.
template <class Int>
bool build_receiver_index(const EdgeList<Int>&, const ReceiverIndexArrays&);

/// The index of a graph with its memory. `edge` is empty when the edges were sorted.
struct ReceiverIndex {
    std::vector<std::int32_t> row_ptr, sender, edge;
    std::vector<std::int32_t> sender_ptr, position;  ///< where asked for
};
/// An empty one for a plain batch. `deterministic`: by sender, and with what sums by sender need.
ReceiverIndex receiver_index(const Graph&, bool deterministic = false);
/// Points into both.
GraphView view_of(const Graph&, const ReceiverIndex&);

}  // namespace flashtp
