// Numbers that a task keeps in memory of its own for want of registers.
#pragma once

#include <vector>

#include "compiler/kernel_builder.hpp"

namespace flashtp {

/// Vectors in a task's own memory, each for one register at a time.
class Scratch {
  public:
    Scratch(int lanes, SharedId buffer) : lanes_(lanes), buffer_(buffer) {}

    int take() {
        if (free_.empty()) return count_++;
        const int slot = free_.back();
        free_.pop_back();
        return slot;
    }
    void give_back(int slot) { free_.push_back(slot); }

    Access access(int slot) const {
        Access at;
        at.place = Place::shared;
        at.buffer = buffer_;
        at.base = Affine(std::int64_t{slot} * lanes_);
        at.lane_stride = 1;
        at.active = lanes_;
        return at;
    }
    std::int64_t elements() const { return std::int64_t{count_} * lanes_; }

  private:
    int lanes_, count_ = 0;
    SharedId buffer_;
    std::vector<int> free_;
};

}  // namespace flashtp
