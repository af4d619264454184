// Numbers of inner loops fit the registers there are.
#include <doctest/doctest.h>

#include <algorithm>

#include "compiler/pipeline.hpp"
#include "compiler/place_registers.hpp"
#include "compiler/visit_registers.hpp"
#include "tests/support/run_kernel.hpp"

using namespace flashtp;
using namespace flashtp::test;

namespace {

/// Most registers of a straight-line block that are read again after the same statement.
int pressure(const Block& block) {
    std::vector<std::vector<int>> reads, writes;
    int most = 0, registers = 0;
    for (int i = 0; i < static_cast<int>(block.size()); ++i) {
        const auto mention = [&](std::vector<std::vector<int>>& table) {
            return [&, i](RegId id) {
                registers = std::max(registers, id + 1);
                if (static_cast<int>(table.size()) <= id) table.resize(static_cast<std::size_t>(id) + 1);
                table[static_cast<std::size_t>(id)].push_back(i);
            };
        };
        visit_registers(block[static_cast<std::size_t>(i)], mention(reads), mention(writes));
    }
    reads.resize(static_cast<std::size_t>(registers)), writes.resize(static_cast<std::size_t>(registers));
    for (int i = 0; i < static_cast<int>(block.size()); ++i) {
        int alive = 0;
        for (std::size_t id = 0; id < reads.size(); ++id) {
            const auto next = std::ranges::upper_bound(reads[id], i);
            if (next == reads[id].end()) continue;
            // What is assigned anew before it is read need not be kept.
            const bool anew = std::ranges::any_of(writes[id], [&](int w) { return w > i && w < *next; });
            const bool before = std::ranges::any_of(writes[id], [&](int w) { return w <= i; });
            alive += before && !anew;
        }
        most = std::max(most, alive);
    }
    return most;
}

bool is_innermost(const Block& body) {
    return std::ranges::none_of(body, [](const KernelStatement& s) { return std::holds_alternative<For>(s.node); });
}

int worst_pressure(const Block& block) {
    int most = 0;
    for (const KernelStatement& statement : block) {
        const auto* loop = std::get_if<For>(&statement.node);
        if (loop) most = std::max(most, is_innermost(loop->body) ? pressure(loop->body) : worst_pressure(loop->body));
    }
    return most;
}

Problem crowded_layer() {
    return parse_problem(R"({"irreps_in1": "16x2e", "irreps_in2": "0e+1e+2e+3e", "irreps_out": "16x1e+16x2e+16x3e+16x4e",
        "instructions": [[0, 1, 0, "uvu", true], [0, 2, 1, "uvu", true], [0, 3, 2, "uvu", true], [0, 3, 3, "uvu", true]]})");
}

}  // namespace

TEST_CASE("place registers: no more numbers are alive in an inner loop than there are registers") {
    for (const char* target : {"x86-64-v3", "x86-64-v4", "aarch64+neon"})
        for (const int order : {0, 1, 2}) {
            CAPTURE(target);
            CAPTURE(order);
            const Lowered lowered = lower(crowded_layer(), {order, {}, {}}, cpu_target(target), {});
            for (const Kernel& kernel : lowered.kernels) {
                verify(kernel);
                for (const KernelTask& task : kernel.tasks) CHECK(worst_pressure(task.body) < kernel.target.registers_per_lane);
            }
        }
}

TEST_CASE("place registers: sums over edges that do not fit are in the task's memory, and results are the oracle's") {
    const Lowered lowered = lower(crowded_layer(), {0, {}, {}}, cpu_target("x86-64-v3"), {});
    CHECK(lowered.kernels.at(0).shared_elements > 0);
    for (const int order : {0, 1, 2}) {
        const Experiment e(crowded_layer(), {order, {}, {}}, GraphOptions{}, 3);
        CHECK(complaint_interpreted(e, cpu_target("x86-64-v3")) == "");
    }
}

TEST_CASE("place registers: loops whose numbers fit stay as they are") {
    const Problem small = parse_problem(R"({"irreps_in1": "16x0e", "irreps_in2": "0e+1e", "irreps_out": "16x0e+16x1e",
        "instructions": [[0, 0, 0, "uvu", true], [0, 1, 1, "uvu", true]]})");
    const Kernel kernel = lower(small, {0, {}, {}}, cpu_target("x86-64-v3"), {}).kernels.at(0);
    CHECK(kernel.shared_elements == 0);
    CHECK(place_registers(kernel) == kernel);
}
