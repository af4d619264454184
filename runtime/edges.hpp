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
};

/// Where build_receiver_index writes. Edges of one receiver keep the order they had.
struct ReceiverIndexArrays {
    std::int32_t* row_ptr = nullptr;  ///< [receivers + 1]
    std::int32_t* sender = nullptr;   ///< [edges] in receiver order
    std::int32_t* edge = nullptr;     ///< [edges] in receiver order: where the edge was
};

/// Returns whether the edges were sorted by receiver already: then `edge` is the identity, and kernels run faster when they get
/// null instead. Throws UserError naming the first edge with a row out of range, or a count beyond 32 bits.
///
/// The transpose is the same call with senders and receivers exchanged: row_ptr[senders + 1] groups edges by sender, and
/// `sender` holds their receivers.
template <class Int>
bool build_receiver_index(const EdgeList<Int>&, const ReceiverIndexArrays&);

/// The index of a graph with its memory. `edge` is empty when the edges were sorted.
struct ReceiverIndex {
    std::vector<std::int32_t> row_ptr, sender, edge;
};
/// An empty one for a plain batch.
ReceiverIndex receiver_index(const Graph&);
/// Points into both.
GraphView view_of(const Graph&, const ReceiverIndex&);

}  // namespace flashtp
