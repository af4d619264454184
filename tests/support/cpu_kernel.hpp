// Small kernels built by hand, compiled for the host, and run on memory that faults when it is left.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "ir/kernel.hpp"
#include "runtime/backend.hpp"
#include "tests/support/guarded_memory.hpp"

namespace flashtp::test {

/// False, with a line that says so, where the plug-in was not built.
bool have_llvm_backend();

/// A kernel of one dtype for the host, with operand and index buffers and any number of tasks.
class CpuKernelBuilder {
  public:
    CpuKernelBuilder(DType dtype, int lanes);

    BufferId operand(const std::string& name, DType dtype);
    BufferId operand(const std::string& name) { return operand(name, kernel.compute); }
    BufferId index(const std::string& name);
    BufferId table(const std::string& name, std::vector<std::int32_t> entries);
    /// The task that the functions below write to.
    KernelTask& task(std::int64_t chunks = 1);
    IntId integer(const std::string& name);
    RegId reg(bool uniform = false);
    std::vector<RegId> regs(int count, bool uniform = false);

    Kernel kernel;
};

/// base + lane * lane_stride + component * component_stride in global memory.
Access global(BufferId buffer, Affine base, std::int64_t lane_stride, std::int64_t component_stride, int active);

class CompiledKernel {
  public:
    explicit CompiledKernel(const Kernel& kernel);
    void run(const std::vector<void*>& buffers, std::int64_t begin, std::int64_t end) const;

  private:
    std::unique_ptr<Backend> backend_;
    std::unique_ptr<Module> module_;
};

/// Values right before a page that may not be touched.
template <class T>
class GuardedArray {
  public:
    explicit GuardedArray(const std::vector<T>& values) : bytes_(values.size() * sizeof(T)), size_(values.size()) {
        std::copy(values.begin(), values.end(), data());
    }
    T* data() const { return reinterpret_cast<T*>(bytes_.data()); }
    std::vector<T> values() const { return std::vector<T>(data(), data() + size_); }

  private:
    GuardedMemory bytes_;
    std::size_t size_;
};

/// Small whole numbers, so that sums and products are exact; none is zero.
template <class T>
std::vector<T> whole_numbers(std::size_t count, int seed = 0) {
    std::vector<T> values(count);
    for (std::size_t i = 0; i < count; ++i) {
        const auto mixed = static_cast<int>((i * 7919 + static_cast<std::size_t>(seed) * 104729 + 13) % 61);
        values[i] = static_cast<T>(mixed < 30 ? mixed - 30 : mixed - 29);
    }
    return values;
}

}  // namespace flashtp::test
