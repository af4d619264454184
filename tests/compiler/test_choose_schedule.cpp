// Decisions of the scheduler that results do not show.
#include <sstream>
#include <string>

#include <doctest/doctest.h>

#include "compiler/pipeline.hpp"

using namespace flashtp;

namespace {

Schedule schedule_of(const std::string& instructions, const Target& target, int order = 0) {
    const Problem problem = parse_problem(R"({"irreps_in1": "48x0e", "irreps_in2": "1x0e+8x0e", "irreps_out": "10x0e+48x0e+2x0e",
        "instructions": )" + instructions + "}");
    return lower(problem, {order, {}, {}}, target, {}).schedule;
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

TEST_CASE("on GPUs lanes run over the longest axis, but over the one in which an edge's matrix of weights is contiguous") {
    const Target gpu = cuda_target("sm_90a");
    const Schedule of_edges = schedule_of(R"([[0, 0, 0, "uvw", true]])", gpu);
    REQUIRE(of_edges.tasks.size() == 1);
    CHECK(of_edges.tasks[0].channel_end == 10);
    CHECK(of_edges.min_blocks * of_edges.warps_per_block == 32);

    const Schedule all_channels = schedule_of(R"([[0, 0, 1, "uvw", true]])", gpu, 1);
    REQUIRE(all_channels.tasks.size() == 1);
    CHECK(all_channels.tasks[0].channel_end == 48);
    CHECK(all_channels.tasks[0].channels_per_lane == 2);

    // Caches hold weights that all edges share.
    CHECK(schedule_of(R"([[0, 0, 0, "uvw", true]], "shared_weights": true)", gpu).tasks[0].channel_end == 32);
}

TEST_CASE("on CPUs a lane has two channels in backward, where the segment fills them") {
    const Target avx2 = cpu_target("x86-64-v3");
    const std::string path = R"([[0, 0, 1, "uvu", true]])";
    CHECK(schedule_of(path, avx2, 0).tasks[0].channels_per_lane == 1);
    CHECK(schedule_of(path, avx2, 1).tasks[0].channels_per_lane == 2);
    CHECK(schedule_of(path, cpu_target("x86-64-v4"), 1).tasks[0].channels_per_lane == 2);
}

TEST_CASE("on GPUs a task alone writes the rows of a batch") {
    const auto kernel = [](const std::string& instructions, int order) {
        const Problem problem = parse_problem(R"({"irreps_in1": "32x0e+32x1o", "irreps_in2": "4x0e+4x1o+32x0e", "convolution": false,
            "irreps_out": "32x0e+128x1o+128x1o+128x1e", "shared_weights": true, "instructions": )" + instructions + "}");
        return lower(problem, {order, {}, {}}, cuda_target("sm_90a"), {}).kernels.at(0);
    };
    const auto adds = [](const Kernel& text_of, const std::string& output) {
        std::istringstream lines(to_string(text_of));
        for (std::string line; std::getline(lines, line);)
            if (line.find(" " + output + "[") != std::string::npos && line.find("atomic +=") != std::string::npos) return true;
        return false;
    };
    const std::string uuu = R"([[0, 2, 0, "uuu", true]])", uvuv = R"([[0, 1, 1, "uvuv", true], [1, 0, 2, "uvuv", true], [1, 1, 3, "uvuv", true]])";
    CHECK(kernel(uuu, 0).tasks.size() == 1);
    CHECK_FALSE(adds(kernel(uuu, 0), "z"));
    CHECK_FALSE(adds(kernel(uvuv, 0), "z"));
    CHECK(adds(kernel(uuu, 1), "d_w"));  // Once a warp, after its rows.
}

TEST_CASE("on GPUs rows of an edge's matrix of weights share what products cost") {
    const auto text = [](const std::string& convolution) {
        const Problem problem = parse_problem(R"({"irreps_in1": "40x1o", "irreps_in2": "1o", "irreps_out": "10x0e", "shared_weights": false,
            "instructions": [[0, 0, 0, "uvw", true]], "convolution": )" + convolution + "}");
        return to_string(lower(problem, {1, {}, {}}, cuda_target("sm_90a"), {}).kernels.at(0));
    };
    CHECK(text("true").find(" += spread_sums(") != std::string::npos);
    CHECK(text("true").find("lane_sum(d_r") == std::string::npos);
    CHECK(text("false").find("spread_sums") == std::string::npos);
}
