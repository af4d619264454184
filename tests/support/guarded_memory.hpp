// Memory that ends where its page does: what reads or writes beyond it faults.
#pragma once

#include <cstddef>

namespace flashtp::test {

/// Starts as bytes of all ones, which is NaN in both element types.
class GuardedMemory {
  public:
    /// `bytes` is a multiple of the element size, so that elements are aligned.
    explicit GuardedMemory(std::size_t bytes);
    ~GuardedMemory();
    GuardedMemory(GuardedMemory&&) noexcept;
    GuardedMemory& operator=(GuardedMemory&&) = delete;

    std::byte* data() const { return data_; }
    std::size_t size() const { return size_; }

  private:
    void* pages_ = nullptr;
    std::size_t mapped_ = 0, size_ = 0;
    std::byte* data_ = nullptr;
};

}  // namespace flashtp::test
