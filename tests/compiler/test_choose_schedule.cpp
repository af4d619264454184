// Decisions of the scheduler that results do not show.
#include <doctest/doctest.h>

#include "compiler/pipeline.hpp"

using namespace flashtp;

namespace {

Schedule schedule_of(const std::string& instructions, const Target& target, int order = 0) {
    const Problem problem = parse_problem(R"({"irreps_in1": "48x0e", "irreps_in2": "1x0e+8x0e", "irreps_out": "10x0e+48x0e+2x0e",
        "instructions": )" + instructions + "}");
    Trace trace;
    return lower(problem, {order, {}, {}}, target, {}, trace).schedule;
}

}  // namespace

TEST_CASE("on CPUs lanes run over the axis in which a matrix of weights is contiguous, all its channels in one task") {
    const Target avx2 = cpu_target("x86-64-v3");
    const Schedule short_axis = schedule_of(R"([[0, 0, 0, "uvw", true]])", avx2);
    REQUIRE(short_axis.tasks.size() == 1);
    CHECK(short_axis.tasks[0].channel_end == 10);
    CHECK(short_axis.tasks[0].channels_per_lane == 2);

    const Schedule long_axis = schedule_of(R"([[0, 0, 1, "uvw", true]])", avx2);
    REQUIRE(long_axis.tasks.size() == 1);
    CHECK(long_axis.tasks[0].channels_per_lane == 6);

    // Two channels would leave the lanes empty, and the eight of v are summed.
    CHECK(schedule_of(R"([[0, 0, 2, "uvw", true]])", avx2).tasks[0].channel_end == 48);
    CHECK(schedule_of(R"([[0, 1, 1, "uvu", true]])", avx2).tasks[0].channel_end == 48);
}

TEST_CASE("on GPUs lanes run over the longest axis") {
    CHECK(schedule_of(R"([[0, 0, 0, "uvw", true]])", cuda_target("sm_90a")).tasks[0].channel_end <= 48);
    CHECK(schedule_of(R"([[0, 0, 0, "uvw", true]])", cuda_target("sm_90a")).tasks[0].channel_end > 10);
}

TEST_CASE("on CPUs a lane has two channels in backward, where the segment fills them") {
    const Target avx2 = cpu_target("x86-64-v3");
    const std::string path = R"([[0, 0, 1, "uvu", true]])";
    CHECK(schedule_of(path, avx2, 0).tasks[0].channels_per_lane == 1);
    CHECK(schedule_of(path, avx2, 1).tasks[0].channels_per_lane == 2);
    CHECK(schedule_of(path, cpu_target("x86-64-v4"), 1).tasks[0].channels_per_lane == 2);
}
