// Visibility of registers and integers during a walk over a task.
#pragma once

#include <cstddef>
#include <vector>

namespace flashtp {

/// Which names of one kind (registers or integers) can be used where the walk is. A name is declared in a block and gone with it.
class Scope {
  public:
    explicit Scope(std::size_t names) : state_(names, never) {}

    bool has(int id) const { return id >= 0 && static_cast<std::size_t>(id) < state_.size(); }
    bool visible(int id) const { return state_[static_cast<std::size_t>(id)] == open; }
    bool gone(int id) const { return state_[static_cast<std::size_t>(id)] == closed; }
    void declare(int id) {
        state_[static_cast<std::size_t>(id)] = open;
        declared_.push_back(id);
    }
    std::size_t enter() const { return declared_.size(); }
    void leave(std::size_t entered) {
        for (; declared_.size() > entered; declared_.pop_back()) state_[static_cast<std::size_t>(declared_.back())] = closed;
    }

  private:
    enum State : char { never, open, closed };
    std::vector<State> state_;
    std::vector<int> declared_;
};

}  // namespace flashtp
