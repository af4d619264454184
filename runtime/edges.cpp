#include "runtime/edges.hpp"

#include <algorithm>
#include <numeric>
#include <string_view>

#include "ir/error.hpp"

namespace flashtp {
namespace {

void check_size(std::string_view what, std::int64_t count) {
    if (count < 0 || count >= INT32_MAX)
        user_error("the number of {} is {}; it must be from 0 to {}", what, count, INT32_MAX - 1);
}

template <class Int>
void check_rows(std::string_view what, std::span<const Int> rows, std::int64_t count) {
    const auto wrong = std::find_if(rows.begin(), rows.end(), [&](Int row) { return row < 0 || row >= count; });
    if (wrong == rows.end()) return;
    if (count == 0) user_error("the {0} of edge {1} is {2}; there are no {0}s", what, wrong - rows.begin(), *wrong);
    user_error("the {} of edge {} is {}; it must be from 0 to {}", what, wrong - rows.begin(), *wrong, count - 1);
}

template <class Int>
void check(const EdgeList<Int>& edges) {
    if (edges.sender.size() != edges.receiver.size()) {
        user_error("there are {} senders and {} receivers of edges", edges.sender.size(), edges.receiver.size());
    }
    check_size("edges", static_cast<std::int64_t>(edges.sender.size()));
    check_size("senders", edges.senders);
    check_size("receivers", edges.receivers);
    check_rows("sender", edges.sender, edges.senders);
    check_rows("receiver", edges.receiver, edges.receivers);
}

/// Edges in the order of their rows, those of one row in the order they had.
template <class Int>
std::vector<std::int32_t> in_order_of(std::span<const Int> rows, std::int64_t count) {
    std::vector<std::int32_t> next(static_cast<std::size_t>(count) + 1, 0), order(rows.size());
    for (const Int row : rows) ++next[static_cast<std::size_t>(row) + 1];
    std::partial_sum(next.begin(), next.end(), next.begin());
    for (std::size_t e = 0; e < rows.size(); ++e)
        order[static_cast<std::size_t>(next[static_cast<std::size_t>(rows[e])]++)] = static_cast<std::int32_t>(e);
    return order;
}

}  // namespace

template <class Int>
bool build_receiver_index(const EdgeList<Int>& edges, const ReceiverIndexArrays& index) {
    check(edges);
    std::fill_n(index.row_ptr, edges.receivers + 1, 0);
    for (const Int row : edges.receiver) ++index.row_ptr[row + 1];
    std::partial_sum(index.row_ptr, index.row_ptr + edges.receivers + 1, index.row_ptr);

    // Each row's begin moves to its end while its edges are placed, which is the next row's begin: shift back afterwards.
    const auto place = [&](std::int32_t e) {
        const std::int32_t position = index.row_ptr[edges.receiver[e]]++;
        index.sender[position] = static_cast<std::int32_t>(edges.sender[e]);
        index.edge[position] = e;
    };
    const auto count = static_cast<std::int32_t>(edges.sender.size());
    if (edges.by_sender) {
        for (const std::int32_t e : in_order_of(edges.sender, edges.senders)) place(e);
    } else {
        for (std::int32_t e = 0; e < count; ++e) place(e);
    }
    for (std::int64_t row = edges.receivers; row > 0; --row) index.row_ptr[row] = index.row_ptr[row - 1];
    index.row_ptr[0] = 0;
    for (std::int32_t e = 0; e < count; ++e)
        if (index.edge[e] != e) return false;
    return true;
}

template bool build_receiver_index(const EdgeList<std::int32_t>&, const ReceiverIndexArrays&);
template bool build_receiver_index(const EdgeList<std::int64_t>&, const ReceiverIndexArrays&);

ReceiverIndex receiver_index(const Graph& graph, bool deterministic) {
    ReceiverIndex index;
    if (graph.receiver.empty() && graph.sender.empty() && graph.edges > 0) return index;
    index.row_ptr.resize(static_cast<std::size_t>(graph.receivers + 1));
    index.sender.resize(graph.sender.size());
    index.edge.resize(graph.sender.size());
    const EdgeList<std::int32_t> edges{graph.sender, graph.receiver, graph.senders, graph.receivers, deterministic};
    const bool sorted = build_receiver_index(edges, {index.row_ptr.data(), index.sender.data(), index.edge.data()});
    if (sorted) index.edge.clear();
    if (!deterministic) return index;
    index.sender_ptr.resize(static_cast<std::size_t>(graph.senders + 1));
    index.position.resize(index.sender.size());
    std::vector<std::int32_t> receivers(index.sender.size());
    const EdgeList<std::int32_t> transposed{index.sender, index.sender, graph.senders, graph.senders};
    build_receiver_index(transposed, {index.sender_ptr.data(), receivers.data(), index.position.data()});
    return index;
}

GraphView view_of(const Graph& graph, const ReceiverIndex& index) {
    const auto pointer = [](const std::vector<std::int32_t>& array) { return array.empty() ? nullptr : array.data(); };
    return {graph.edges, graph.senders, graph.receivers, pointer(index.row_ptr), pointer(index.sender), pointer(index.edge),
            nullptr, pointer(index.sender_ptr), pointer(index.position)};
}

}  // namespace flashtp
