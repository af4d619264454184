// What lower() promises about its kernels as a whole.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include "compiler/pipeline.hpp"
#include "ir/problem.hpp"
#include "ir/target.hpp"
#include "runtime/problem_file.hpp"
#include "tests/support/run_kernel.hpp"

using namespace flashtp;

TEST_CASE("a request beyond the budget of operations has several kernels, which compute the same") {
    const Problem problem =
        parse_problem(R"({"irreps_in1": "40x0e+40x1o+40x2e", "irreps_in2": "0e+1o+2e", "irreps_out": "40x0e+40x1o+40x2e",
        "instructions": [[0, 0, 0, "uvu", true], [0, 1, 1, "uvu", true], [1, 0, 1, "uvu", true], [1, 1, 2, "uvu", true], [2, 2, 0, "uvu", true]]})");
    for (const Target& target : test::cuda_targets())
        for (const int order : {0, 1, 2}) {
            CAPTURE(target.name);
            CAPTURE(order);
            const Request request{order, {}, {}};
            test::KernelRun run;
            run.options.knobs = default_knobs(target, request, problem.dtype);
            run.options.knobs->operations_per_kernel = 60;
            const Lowered split = lower(problem, request, target, run.options);
            REQUIRE(split.kernels.size() > 1);
            for (std::size_t k = 0; k < split.kernels.size(); ++k)
                CHECK(split.kernels[k].name == fmt::format("flashtp_order{}_part{}", order, k));
            CHECK(test::complaint_interpreted(test::Experiment(problem, request, {.edges = 20}, 4), target, run) == "");
        }
}

TEST_CASE("the layers whose times are documented have one kernel; only the largest of examples/specs have more") {
    const Target target = cuda_target("sm_90a");
    const auto kernels = [&](const char* spec, int order) {
        const Problem problem = load_problems(FLASHTP_SOURCE_DIR "/examples/specs/" + std::string(spec)).at(0);
        return lower(problem, {order, {}, {}}, target, {}).kernels;
    };
    for (const int order : {0, 1, 2}) {
        for (const char* spec : {"sevennet-l3i5.json:2", "mace-large.json:2", "nequip-l3.json:4"}) {
            CAPTURE(spec);
            REQUIRE(kernels(spec, order).size() == 1);
            CHECK(kernels(spec, order)[0].name == fmt::format("flashtp_order{}", order));
        }
    }
    CHECK(kernels("nequip-l5.json:4", 2).size() > 4);
}
