// What lower() promises about its kernels as a whole.
#include <doctest/doctest.h>

#include "compiler/pipeline.hpp"
#include "ir/error.hpp"
#include "ir/problem.hpp"
#include "ir/target.hpp"

using namespace flashtp;

TEST_CASE("deterministic: a GPU kernel that adds in no fixed order is refused, by the name of what it adds to") {
    Problem problem = parse_problem(R"({"irreps_in1": "8x0e+8x1o", "irreps_in2": "0e+1o", "irreps_out": "8x0e+8x1o",
        "instructions": [[0, 0, 0, "uvu", true], [0, 1, 1, "uvu", true]], "deterministic": true})");
    const auto lowered = [&](const char* target, int order) {
        Trace trace;
        return lower(problem, {order, {}, {}}, std::string_view(target).starts_with("sm") ? cuda_target(target) : cpu_target(std::string_view(target).substr(4)), {}, trace);
    };
    // Every receiver has one warp.
    CHECK(lowered("sm_90a", 0).schedule.deterministic);
    CHECK_THROWS_WITH_AS(lowered("sm_90a", 1), doctest::Contains("deterministic: flashtp_order1 adds to d_x in no fixed order on sm_90a"),
                         UserError);
    CHECK(lowered("cpu:x86-64-v3", 1).schedule.deterministic);
    problem.deterministic = false;
    CHECK(!lowered("sm_90a", 1).kernels.empty());
}
