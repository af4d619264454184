// What a statement of a kernel reads and assigns.
#pragma once

#include <type_traits>
#include <variant>

#include "ir/kernel.hpp"

namespace flashtp {

/// Calls read(id) for every register the node reads and then write(id) for every one it assigns, by reference where the node may be
/// changed. Nested blocks are not entered.
template <class Node, class Read, class Write>
void visit_registers(Node& node, Read read, Write write) {
    using T = std::remove_const_t<Node>;
    const auto argument = [&](auto& arg) {
        if (auto* const id = std::get_if<RegId>(&arg)) read(*id);
    };
    const auto all = [](auto& ids, auto visit) {
        for (auto& id : ids) visit(id);
    };
    if constexpr (std::is_same_v<T, Move>) {
        argument(node.src), write(node.dst);
    } else if constexpr (std::is_same_v<T, Mul>) {
        argument(node.a), argument(node.b), write(node.dst);
    } else if constexpr (std::is_same_v<T, Fma>) {
        argument(node.a), argument(node.b), argument(node.c), write(node.dst);
    } else if constexpr (std::is_same_v<T, Load>) {
        all(node.dst, write);
    } else if constexpr (std::is_same_v<T, Store> || std::is_same_v<T, ReduceStore>) {
        all(node.src, read);
    } else if constexpr (std::is_same_v<T, SpreadSums>) {
        all(node.src, read), read(node.dst), write(node.dst);
    } else if constexpr (std::is_same_v<T, LaneSum> || std::is_same_v<T, LaneGet>) {
        all(node.src, read), all(node.dst, write);
    }
}

template <class Read, class Write>
void visit_registers(KernelStatement& statement, Read read, Write write) {
    std::visit([&](auto& node) { visit_registers(node, read, write); }, statement.node);
}
template <class Read, class Write>
void visit_registers(const KernelStatement& statement, Read read, Write write) {
    std::visit([&](const auto& node) { visit_registers(node, read, write); }, statement.node);
}

}  // namespace flashtp
