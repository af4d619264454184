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

/// A counting sort: calls place(position, edge) for every edge, by rows and within a row in the given order (empty: that of their numbers).
/// Those of row r are at positions begin[r] to begin[r + 1].
template <class Int, class Place>
void place_by_row(std::span<const Int> rows, std::span<const std::int32_t> order, std::span<std::int32_t> begin, Place place) {
    std::ranges::fill(begin, 0);
    for (const Int row : rows) ++begin[static_cast<std::size_t>(row) + 1];
    std::partial_sum(begin.begin(), begin.end(), begin.begin());
    const auto put = [&](std::int32_t e) { place(begin[static_cast<std::size_t>(rows[static_cast<std::size_t>(e)])]++, e); };
    if (order.empty()) {
        for (std::int32_t e = 0; e < static_cast<std::int32_t>(rows.size()); ++e) put(e);
    } else {
        std::ranges::for_each(order, put);
    }
    // Each row's begin has moved to its end, which is the next row's begin.
    std::shift_right(begin.begin(), begin.end(), 1);
    begin[0] = 0;
}

/// Edges in the order of their rows, those of one row in the order they had.
template <class Int>
std::vector<std::int32_t> in_order_of(std::span<const Int> rows, std::int64_t count) {
    std::vector<std::int32_t> begin(static_cast<std::size_t>(count) + 1), order(rows.size());
    place_by_row(rows, {}, begin, [&](std::int32_t position, std::int32_t e) { order[static_cast<std::size_t>(position)] = e; });
    return order;
}

}  // namespace

template <class Int>
bool build_receiver_index(const EdgeList<Int>& edges, const ReceiverIndexArrays& index) {
    check(edges);
    const std::vector<std::int32_t> order = edges.by_sender ? in_order_of(edges.sender, edges.senders) : std::vector<std::int32_t>();
    const std::span<std::int32_t> row_ptr(index.row_ptr, static_cast<std::size_t>(edges.receivers) + 1);
    place_by_row(edges.receiver, std::span(order), row_ptr, [&](std::int32_t position, std::int32_t e) {
        index.sender[position] = static_cast<std::int32_t>(edges.sender[static_cast<std::size_t>(e)]);
        index.edge[position] = e;
    });
    const auto count = static_cast<std::int32_t>(edges.sender.size());
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
