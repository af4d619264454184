// Kernel to LLVM IR text with explicit vectors: a register is one SIMD vector, integers and control flow are scalars.
#pragma once

#include <string>

#include "ir/kernel.hpp"

namespace flashtp {

/// A module with one external function `void @NAME(ptr %buffers, i64 %row_begin, i64 %row_end)`, where NAME is the kernel's name
/// and %buffers points to the pointers of Kernel::buffers without tables. It runs every chunk of every task, one internal
/// function a task. Buffers that are written must not overlap others. Shared memory and the ring do not exist on a CPU: a kernel
/// that uses them is an InternalError. Pure: same kernel, same bytes.
std::string emit_llvm(const Kernel& kernel);

}  // namespace flashtp
