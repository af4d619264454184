// A value that children of fork() share with their parent.
#pragma once

#include <sys/mman.h>

#include <new>

namespace flashtp::test {

template <class T>
class SharedMemory {
  public:
    SharedMemory() {
        void* const memory = ::mmap(nullptr, sizeof(T), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED) throw std::bad_alloc();
        value_ = new (memory) T;
    }
    ~SharedMemory() { ::munmap(value_, sizeof(T)); }
    SharedMemory(const SharedMemory&) = delete;
    SharedMemory& operator=(const SharedMemory&) = delete;
    T* operator->() const { return value_; }
    T& operator*() const { return *value_; }

  private:
    T* value_;
};

}  // namespace flashtp::test
