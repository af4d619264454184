// What the machine code of inner loops may contain.
#include <doctest/doctest.h>

#include "codegen/emit_llvm.hpp"
#include "compiler/pipeline.hpp"
#include "runtime/backend_llvm.hpp"
#include "runtime/problem_file.hpp"
#include "tests/codegen/innermost_loops.hpp"
#include "tests/support/cpu_kernel.hpp"

using namespace flashtp;
using namespace flashtp::test;

namespace {

std::vector<InnermostLoop> loops_of(const std::string& layer, DType dtype, int order, const std::string& target) {
    Problem problem = load_problem(FLASHTP_SOURCE_DIR "/examples/specs/" + layer);
    problem.dtype = dtype;
    const Lowered lowered = lower(problem, {order, {}, {}}, cpu_target(target), {});
    std::vector<InnermostLoop> loops;
    for (const Kernel& kernel : lowered.kernels)
        for (InnermostLoop& loop : innermost_loops(llvm_assembly(kernel, emit_llvm(kernel))))
            if (loop.vector_multiply_adds + loop.scalar_multiply_adds > 0) loops.push_back(std::move(loop));
    return loops;
}

}  // namespace

TEST_CASE("inner loops: the reader finds loops, multiply-adds and spills") {
    const auto loops = innermost_loops("f:\n.LBB0_1:\n\taddq\t$1, %rax\n.LBB0_2:\n\tvmovups\t%ymm0, 32(%rsp)  # 32-byte Spill\n\tmovq\t%rax, (%rsp)  # 8-byte Spill\n\tvmovups\t%ymm0, 64(%rsp)\n"
                                       "\tvfmadd231ps\t(%rdi), %ymm1, %ymm0\n\tvfmadd231ss\t%xmm1, %xmm1, %xmm0\n\tjl\t.LBB0_2\n"
                                       "\tvmulps\t%ymm1, %ymm1, %ymm1\n\tjne\t.LBB0_1\n\tretq\n");
    REQUIRE(loops.size() == 1);
    CHECK(loops[0].function == "f");
    CHECK(loops[0].instructions == 6);
    CHECK(loops[0].vector_multiply_adds == 1);
    CHECK(loops[0].scalar_multiply_adds == 1);
    CHECK(loops[0].spills == 1);
    CHECK(loops[0].integer_spills == 1);
}

TEST_CASE("inner loops: no scalar arithmetic and no spill" * doctest::test_suite("slow")) {
    if (!have_llvm_backend()) return;
    for (const char* layer : {"sevennet-l3i5.json:2", "mace-large.json:2", "nequip-l1.json:2"})
        for (const char* target : {"x86-64-v3", "x86-64-v4"})
            for (const DType dtype : {DType::float32, DType::float64})
                for (const int order : {0, 1, 2}) {
                    CAPTURE(layer);
                    CAPTURE(target);
                    CAPTURE(to_string(dtype));
                    CAPTURE(order);
                    const std::vector<InnermostLoop> loops = loops_of(layer, dtype, order, target);
                    CHECK(!loops.empty());
                    for (const InnermostLoop& loop : loops) {
                        CAPTURE(loop.function);
                        CHECK(loop.scalar_multiply_adds == 0);
                        CHECK(loop.spills == 0);
                        // Of several hundred instructions: the loop's own counter, and offsets where an edge has nine rows.
                        CHECK(loop.integer_spills <= 3);
                    }
                }
}
