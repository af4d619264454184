#include "tests/faults/allocation.hpp"

#include <cstdlib>
#include <new>

namespace {

thread_local int until_failure = 0;  ///< 0: never; 1: the next
thread_local bool failed = false;

void* allocate(std::size_t size) {
    if (until_failure > 0 && --until_failure == 0) {
        failed = true;
        throw std::bad_alloc();
    }
    if (void* const memory = std::malloc(size ? size : 1)) return memory;
    throw std::bad_alloc();
}

}  // namespace

void* operator new(std::size_t size) { return allocate(size); }
void* operator new[](std::size_t size) { return allocate(size); }
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t) noexcept { std::free(memory); }

namespace flashtp::test {

void fail_allocations(int nth) {
    until_failure = nth;
    failed = false;
}
bool allocation_failed() { return failed; }

}  // namespace flashtp::test
