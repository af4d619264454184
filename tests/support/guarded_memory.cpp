#include "tests/support/guarded_memory.hpp"

#include <cstring>
#include <new>
#include <utility>

#include <sys/mman.h>
#include <unistd.h>

namespace flashtp::test {

GuardedMemory::GuardedMemory(std::size_t bytes) : size_(bytes) {
    const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    const std::size_t used = (bytes + page - 1) / page * page;
    mapped_ = used + page;
    pages_ = mmap(nullptr, mapped_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages_ == MAP_FAILED) throw std::bad_alloc();
    if (used > 0 && mprotect(pages_, used, PROT_READ | PROT_WRITE) != 0) throw std::bad_alloc();
    data_ = static_cast<std::byte*>(pages_) + (used - bytes);
    if (bytes > 0) std::memset(data_, 0xff, bytes);
}

GuardedMemory::GuardedMemory(GuardedMemory&& other) noexcept
    : pages_(std::exchange(other.pages_, nullptr)), mapped_(other.mapped_), size_(other.size_), data_(other.data_) {}

GuardedMemory::~GuardedMemory() {
    if (pages_) munmap(pages_, mapped_);
}

}  // namespace flashtp::test
