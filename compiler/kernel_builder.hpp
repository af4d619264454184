// Small conveniences for building a KernelTask.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "ir/kernel.hpp"

namespace flashtp {

/// A task under construction: hands out ids.
struct TaskBuilder {
    KernelTask task;

    IntId new_int(const std::string& name) {
        task.ints.push_back(unique(name));
        return static_cast<IntId>(task.ints.size()) - 1;
    }
    RegId new_register(std::string name, bool uniform) {
        task.registers.push_back({std::move(name), uniform});
        return static_cast<RegId>(task.registers.size()) - 1;
    }
    SharedId new_shared(const std::string& name, std::int64_t offset, std::int64_t size) {
        task.shared.push_back({name, offset, size});
        return static_cast<SharedId>(task.shared.size()) - 1;
    }

  private:
    std::string unique(const std::string& name) const {
        std::string candidate = name;
        for (int copy = 1; std::ranges::count(task.ints, candidate); ++copy) candidate = name + "_" + std::to_string(copy);
        return candidate;
    }
};

template <class Node>
void emit(Block& block, Node node) {
    block.push_back(KernelStatement{KernelNode{std::move(node)}});
}

}  // namespace flashtp
