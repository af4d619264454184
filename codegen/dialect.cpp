#include "codegen/dialect.hpp"

#include "codegen/prelude.hpp"

namespace flashtp {

Dialect cuda_dialect() {
    return {
        .name = "cuda",
        .threads = true,
        .prelude = prelude_device(),
        .prelude_parts = prelude_parts(),
        .prelude_shares = prelude_shares(),
        .prelude_products = prelude_products(),
        .prelude_bulk_stores = prelude_bulk_stores(),
        .prelude_storage = prelude_storage(),
        .prelude_edge_products = prelude_edge_products(),
        .task_qualifiers = "static __device__ __forceinline__ void",
        .table_qualifiers = "static __device__ const int",
        .restrict_keyword = "__restrict__ ",
        .fma_float32 = "__fmaf_rn",
        .fma_float64 = "__fma_rn",
        .int_as_float32 = "__int_as_float({})",
        .int_as_float64 = "__hiloint2double(0, {})",
        .float32_as_int = "__float_as_int({})",
        .float64_as_int = "__double2loint({})",
    };
}

Dialect cpp_dialect() {
    return {
        .name = "c++",
        .threads = false,
        .prelude = "#include <cmath>\n#include <cstdint>\n",
        .prelude_parts = "",
        .prelude_shares = "",
        .prelude_products = "",
        .prelude_bulk_stores = "",
        .prelude_storage = "",
        .prelude_edge_products = "",
        .task_qualifiers = "static void",
        .table_qualifiers = "static const int",
        .restrict_keyword = "",
        .fma_float32 = "std::fma",
        .fma_float64 = "std::fma",
        .int_as_float32 = "__builtin_bit_cast(float, {})",
        .int_as_float64 = "static_cast<double>({})",
        .float32_as_int = "__builtin_bit_cast(int, {})",
        .float64_as_int = "static_cast<int>({})",
    };
}

}  // namespace flashtp
