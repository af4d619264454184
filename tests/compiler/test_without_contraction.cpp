// "strict": every product and every sum is rounded.
#include <doctest/doctest.h>

#include "codegen/emit_llvm.hpp"
#include "compiler/pipeline.hpp"
#include "ir/error.hpp"
#include "runtime/backend_llvm.hpp"
#include "runtime/engine.hpp"
#include "runtime/self_check.hpp"
#include "tests/runtime/memory_only.hpp"
#include "tests/support/cpu_kernel.hpp"

using namespace flashtp;
using namespace flashtp::test;

namespace {

Problem small_problem(bool strict) {
    Problem problem = parse_problem(R"({"irreps_in1": "8x0e+8x1o", "irreps_in2": "0e+1o", "irreps_out": "8x0e+8x1o",
        "instructions": [[0, 0, 0, "uvu", true], [0, 1, 1, "uvu", true], [1, 0, 1, "uvu", true], [1, 1, 0, "uvu", true]]})");
    problem.strict = strict;
    return problem;
}

Lowered lowered(bool strict, int order, const Target& target) {
    return lower(small_problem(strict), {order, {}, {}}, target, {});
}

bool fuses(bool strict, int order, const char* target) {
    const Kernel kernel = lowered(strict, order, cpu_target(target)).kernels.at(0);
    const std::string assembly = llvm_assembly(kernel, emit_llvm(kernel));
    for (const char* instruction : {"vfmadd", "vfnmadd", "vfmsub", "vfnmsub", "fmla", "fmls", "fmadd", "fmsub"})
        if (assembly.find(instruction) != std::string::npos) return true;
    return false;
}

}  // namespace

TEST_CASE("strict: no instruction rounds a product and a sum once") {
    if (!have_llvm_backend()) return;
    for (const char* target : {"x86-64-v3", "x86-64-v4", "aarch64+neon"})
        for (const int order : {0, 1, 2}) {
            CAPTURE(target);
            CAPTURE(order);
            CHECK(fuses(false, order, target));
            CHECK(!fuses(true, order, target));
        }
}

TEST_CASE("strict: the results are the problem's, and without sums over lanes they are the interpreter's to the last bit") {
    if (!have_llvm_backend()) return;
    Engine engine(memory_only());
    for (const int order : {0, 1, 2}) {
        CAPTURE(order);
        const auto program = engine.compile(small_problem(true), {order, {}, {}}, engine.target("cpu"));
        CHECK(self_check(*program, 2) == "");
        if (order > 0) continue;
        const Sample sample = random_sample(small_problem(true), operands_of(small_problem(true), {}), {});
        CHECK(run_on_cpu(*program, sample, 1) == run_interpreted(program->lower(), DType::float32, sample));
    }
}

TEST_CASE("strict: a GPU target is refused") {
    CHECK_THROWS_WITH_AS(lowered(true, 0, cuda_target("sm_90a")), doctest::Contains("strict: kernels for sm_90a"), UserError);
}
