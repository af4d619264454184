// Kernel to C++: CUDA, or plain C++ for reading and for tests.
#pragma once

#include <string>

#include "codegen/dialect.hpp"
#include "ir/kernel.hpp"

namespace flashtp {

/// The whole translation unit, the same bytes for the same kernel.
///
/// CUDA: `extern "C" __global__ void NAME(one pointer a buffer that is not a table, int rows, int rows_per_warp)`, with
/// warps_per_block * 32 threads a block, grid (blocks_of_rows, chunks of all tasks), and `shared_bytes(kernel)` of dynamic shared
/// memory: the warps' regions, each rounded up to 128 bytes, then the warps' barriers.
/// `NAME_zero(warp::Ranges)` in the same module zeroes memory, a row of blocks a range; NAME may be launched while it runs.
/// C++: `extern "C" void NAME(void* const* buffers, std::int64_t row_begin, std::int64_t row_end)` runs all tasks for the rows.
std::string emit_c(const Kernel&, const Dialect&);

/// The launch grid of the CUDA kernel: x covers the rows, y the chunks of all tasks. 64-bit: the caller checks the device's limits.
struct GridSize {
    std::int64_t x = 0, y = 0;
};
GridSize grid_size(const Kernel&, std::int64_t rows, std::int64_t rows_per_warp);

}  // namespace flashtp
