// The operator in torch's stable ABI: one library serves every torch from 2.10 on. Derivatives of torch are registered elsewhere: in
// C++ by autograd.cpp where this torch has a build of it, else in Python.
#include <torch/csrc/stable/library.h>

#include <stdexcept>
#include <string>
#include <vector>

#include "problems.hpp"
#include "run.hpp"

namespace flashtp::torch_operators {
namespace {

/// See flashtp.h for orders and names, and names.hpp for the masks.
std::vector<Tensor> tensor_product(std::vector<Tensor> operands, std::vector<Tensor> index, std::string problem,
                                   std::int64_t order, std::int64_t outputs, std::int64_t absent) {
    const std::vector<TensorView> views(operands.begin(), operands.end()), index_views(index.begin(), index.end());
    return run_request({problem_number(problem), order, outputs, absent}, views, index_views);
}

/// The number of a problem. Throws std::invalid_argument with the rule that it breaks.
std::int64_t check_problem(std::string problem) {
    if (flashtp_check_problem(with_types(problem, {ScalarType::Double, ScalarType::Double, ScalarType::Double}).c_str()) != FLASHTP_OK)
        throw std::invalid_argument(flashtp_last_message());
    return problem_number(problem);
}

/// What this process did with the kernel cache on disk: hits, misses, kernels it compiled and stored, waits that were given up.
std::vector<std::int64_t> cache_counts() {
    flashtp_cache_counts counts{};
    counts.size = sizeof counts;
    check(flashtp_engine_cache_counts(engine(), &counts));
    return {counts.hits, counts.misses, counts.stored, counts.lock_timeouts};
}

}  // namespace
}  // namespace flashtp::torch_operators

STABLE_TORCH_LIBRARY_FRAGMENT(flashtp, library) {
    library.def("tensor_product(Tensor[] operands, Tensor[] index, str problem, int order, int outputs, int absent) -> Tensor[]");
    library.def("check_problem(str problem) -> int");
    library.def("launch_count() -> int");
    library.def("cache_counts() -> int[]");
}
STABLE_TORCH_LIBRARY_IMPL(flashtp, CPU, library) {
    library.impl("tensor_product", TORCH_BOX(&flashtp::torch_operators::tensor_product));
}
STABLE_TORCH_LIBRARY_IMPL(flashtp, CUDA, library) {
    library.impl("tensor_product", TORCH_BOX(&flashtp::torch_operators::tensor_product));
}
STABLE_TORCH_LIBRARY_IMPL(flashtp, CompositeExplicitAutograd, library) {
    library.impl("check_problem", TORCH_BOX(&flashtp::torch_operators::check_problem));
    library.impl("launch_count", TORCH_BOX(&flashtp::torch_operators::launch_count));
    library.impl("cache_counts", TORCH_BOX(&flashtp::torch_operators::cache_counts));
}
