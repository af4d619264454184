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

std::vector<InnermostLoop> loops_of(const std::string& layer, int order, const std::string& target) {
    const Problem problem = load_problem(FLASHTP_SOURCE_DIR "/examples/specs/" + layer);
    Trace trace;
    const Lowered lowered = lower(problem, {order, {}, {}}, cpu_target(target), {}, trace);
    std::vector<InnermostLoop> loops;
    for (const Kernel& kernel : lowered.kernels)
        for (InnermostLoop& loop : innermost_loops(llvm_assembly(kernel, emit_llvm(kernel))))
            if (loop.vector_multiply_adds + loop.scalar_multiply_adds > 0) loops.push_back(std::move(loop));
    return loops;
}

/// Spills of all inner loops for every hundred multiply-adds, rounded up.
int spills_in_100(const std::vector<InnermostLoop>& loops) {
    int spills = 0, multiply_adds = 0;
    for (const InnermostLoop& loop : loops) spills += loop.spills, multiply_adds += loop.vector_multiply_adds;
    return (100 * spills + multiply_adds - 1) / multiply_adds;
}

}  // namespace

TEST_CASE("inner loops: the reader finds loops, multiply-adds and spills") {
    const auto loops = innermost_loops("f:\n.LBB0_1:\n\taddq\t$1, %rax\n.LBB0_2:\n\tvmovups\t%ymm0, 32(%rsp)  # spill\n"
                                       "\tvfmadd231ps\t(%rdi), %ymm1, %ymm0\n\tvfmadd231ss\t%xmm1, %xmm1, %xmm0\n\tjl\t.LBB0_2\n"
                                       "\tvmulps\t%ymm1, %ymm1, %ymm1\n\tjne\t.LBB0_1\n\tretq\n");
    REQUIRE(loops.size() == 1);
    CHECK(loops[0].function == "f");
    CHECK(loops[0].instructions == 4);
    CHECK(loops[0].vector_multiply_adds == 1);
    CHECK(loops[0].scalar_multiply_adds == 1);
    CHECK(loops[0].spills == 1);
}

TEST_CASE("inner loops: no scalar arithmetic, and few spills") {
    if (!have_llvm_backend()) return;
    struct Row {
        std::string layer, target;
        int most_spills[3];  // of every hundred multiply-adds, by order
    };
    // Measured, rounded up. 16 registers hold the sums of no whole task; 32 hold those of one of l = 1, with nothing left to spill.
    const Row rows[] = {{"sevennet-l3i5.json:2", "x86-64-v3", {41, 25, 37}}, {"sevennet-l3i5.json:2", "x86-64-v4", {22, 12, 23}},
                        {"mace-large.json:2", "x86-64-v3", {25, 23, 36}},    {"mace-large.json:2", "x86-64-v4", {14, 7, 18}},
                        {"nequip-l1.json:2", "x86-64-v3", {16, 6, 24}},      {"nequip-l1.json:2", "x86-64-v4", {0, 0, 3}}};
    for (const Row& row : rows)
        for (const int order : {0, 1, 2}) {
            CAPTURE(row.layer);
            CAPTURE(row.target);
            CAPTURE(order);
            const std::vector<InnermostLoop> loops = loops_of(row.layer, order, row.target);
            CHECK(!loops.empty());
            for (const InnermostLoop& loop : loops) CHECK(loop.scalar_multiply_adds == 0);
            CHECK(spills_in_100(loops) <= row.most_spills[order]);
        }
}
