#include "tests/support/edge_order.hpp"

#include <algorithm>
#include <numeric>
#include <random>
#include <set>
#include <utility>

namespace flashtp::test {

Graph distinct_edges(std::int64_t edges, std::int32_t nodes, std::uint64_t seed) {
    std::mt19937_64 random(seed);
    Graph graph{edges, nodes, nodes, {}, {}};
    std::set<std::pair<std::int32_t, std::int32_t>> seen;
    while (static_cast<std::int64_t>(graph.sender.size()) < edges) {
        const auto draw = [&] { return static_cast<std::int32_t>(random() % static_cast<std::uint64_t>(nodes)); };
        const std::int32_t sender = draw(), receiver = draw();
        if (!seen.emplace(receiver, sender).second) continue;
        graph.sender.push_back(sender);
        graph.receiver.push_back(receiver);
    }
    return graph;
}

EdgeOrder::EdgeOrder(std::int64_t edges, std::uint64_t seed) : order_(static_cast<std::size_t>(edges)) {
    std::iota(order_.begin(), order_.end(), std::size_t{0});
    std::ranges::shuffle(order_, std::mt19937_64(seed));
}

Sample EdgeOrder::reordered(const Sample& sample, const std::vector<Operand>& operands) const {
    Sample other = sample;
    for (std::size_t e = 0; e < order_.size(); ++e) {
        other.graph.sender[e] = sample.graph.sender[order_[e]];
        other.graph.receiver[e] = sample.graph.receiver[order_[e]];
    }
    for (const Operand& o : operands) {
        if (o.role != Role::input || o.row != Row::edge) continue;
        const std::vector<double>& rows = sample.inputs.at(o.name);
        for (std::size_t e = 0; e < order_.size(); ++e)
            std::copy_n(rows.begin() + static_cast<std::ptrdiff_t>(order_[e]) * o.width, o.width,
                        other.inputs[o.name].begin() + static_cast<std::ptrdiff_t>(e) * o.width);
    }
    return other;
}

Tensors EdgeOrder::back(Tensors outputs, const std::vector<Operand>& operands) const {
    for (const Operand& o : operands) {
        if (o.role != Role::output || o.row != Row::edge) continue;
        const std::vector<double> rows = outputs.at(o.name);
        for (std::size_t e = 0; e < order_.size(); ++e)
            std::copy_n(rows.begin() + static_cast<std::ptrdiff_t>(e) * o.width, o.width,
                        outputs[o.name].begin() + static_cast<std::ptrdiff_t>(order_[e]) * o.width);
    }
    return outputs;
}

}  // namespace flashtp::test
