#include "codegen/dialect.hpp"

#include "codegen/prelude.hpp"

namespace flashtp {

Dialect cuda_dialect() {
    return {
        .name = "cuda",
        .threads = true,
        .prelude = prelude_device(),
        .task_qualifiers = "static __device__ __forceinline__ void",
        .table_qualifiers = "static __device__ const int",
        .restrict_keyword = "__restrict__ ",
        .fma_float32 = "__fmaf_rn",
        .fma_float64 = "__fma_rn",
    };
}

Dialect cpp_dialect() {
    return {
        .name = "c++",
        .threads = false,
        .prelude = "#include <cmath>\n#include <cstdint>\n",
        .task_qualifiers = "static void",
        .table_qualifiers = "static const int",
        .restrict_keyword = "",
        .fma_float32 = "std::fma",
        .fma_float64 = "std::fma",
    };
}

}  // namespace flashtp
