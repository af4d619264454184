// Device memory that launches borrow for as long as their kernels run.
#pragma once

#include <cstddef>
#include <cstdint>

namespace flashtp {

/// Memory of one context. What is taken is given back in the order of a stream, so that launches on one stream share it, and launches on
/// several streams do not. Nobody waits; once the pool has grown to what is in use at a time, the driver is not asked for more. Thread-safe.
class ScratchPool {
  public:
    /// Of the caller's current context.
    ScratchPool();
    ~ScratchPool();
    ScratchPool(const ScratchPool&) = delete;
    ScratchPool& operator=(const ScratchPool&) = delete;

    void* context() const { return context_; }
    /// Makes sure that so many bytes can be taken without asking the driver. Waits.
    void reserve(std::int64_t bytes) const;

    /// Memory from now on until it goes out of scope, in the order of a stream; none where no bytes are asked for.
    class Borrowed {
      public:
        Borrowed(const ScratchPool*, std::int64_t bytes, void* stream);
        ~Borrowed();
        Borrowed(const Borrowed&) = delete;
        Borrowed& operator=(const Borrowed&) = delete;
        std::byte* data() const { return data_; }

      private:
        std::byte* data_ = nullptr;
        void* stream_;
    };

  private:
    void *context_ = nullptr, *pool_ = nullptr;
};

}  // namespace flashtp
