// What distinguishes the languages of the C family that `emit_c` prints.
#pragma once

#include <string_view>

#include "ir/dtype.hpp"

namespace flashtp {

struct Dialect {
    std::string_view name;
    /// A lane is a thread and the warp runs in lock step. Otherwise lanes are loops over arrays, and copies are synchronous.
    bool threads = false;
    std::string_view prelude;           ///< what generated code needs before it
    std::string_view prelude_parts;     ///< and about receivers that several warps share
    std::string_view prelude_shares;    ///< or about edges that all warps of a launch share
    std::string_view prelude_products;  ///< and with it, where there are products by tensor cores
    std::string_view prelude_bulk_stores;  ///< and where parts of sums are stored in bulk
    std::string_view prelude_storage;   ///< and where memory holds numbers of two bytes
    std::string_view prelude_edge_products;  ///< and where products are over edges in global memory
    std::string_view task_qualifiers;   ///< of the function that a task becomes
    std::string_view table_qualifiers;  ///< of a constant table of `int`
    std::string_view restrict_keyword;
    std::string_view fma_float32, fma_float64;

    std::string_view int_as_float32, int_as_float64, float32_as_int, float64_as_int;  ///< formats that keep an int's bits in a number

    std::string_view int_as(DType dtype) const { return dtype == DType::float32 ? int_as_float32 : int_as_float64; }
    std::string_view as_int(DType dtype) const { return dtype == DType::float32 ? float32_as_int : float64_as_int; }
    std::string_view fma(DType dtype) const { return dtype == DType::float32 ? fma_float32 : fma_float64; }
};

/// CUDA C++ for NVRTC, without any header.
Dialect cuda_dialect();
/// Plain C++17, for reading and for tests: one warp runs all rows it is given.
Dialect cpp_dialect();

}  // namespace flashtp
