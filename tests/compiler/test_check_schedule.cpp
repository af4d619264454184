// Faults of schedules that come from a file.
#include <functional>
#include <string>
#include <string_view>

#include <doctest/doctest.h>

#include "compiler/pipeline.hpp"
#include "ir/error.hpp"
#include "ir/problem.hpp"
#include "ir/target.hpp"

using namespace flashtp;

namespace {

/// Two paths of 40 channels: [0, 32) and [32, 40) of both on a GPU, in a task each.
Problem two_paths() {
    return parse_problem(R"({"irreps_in1": "40x0e", "irreps_in2": "0e+1o", "irreps_out": "40x0e+40x1o",
        "instructions": [[0, 0, 0, "uvu", true], [0, 1, 1, "uvu", true]]})");
}

/// What lower() says about the default schedule after an edit.
std::string complaint_after(const std::function<void(Schedule&)>& edit) {
    const Target target = cuda_target("sm_90a");
    LoweringOptions options;
    options.schedule = lower(two_paths(), {0, {}, {}}, target, {}).schedule;
    REQUIRE(options.schedule->tasks.size() == 2);
    edit(*options.schedule);
    try {
        lower(two_paths(), {0, {}, {}}, target, options);
    } catch (const UserError& error) {
        return error.what();
    }
    return "";
}

}  // namespace

TEST_CASE("a schedule from a file must compute every channel of every path once") {
    CHECK(complaint_after([](Schedule&) {}) == "");
    CHECK(complaint_after([](Schedule& s) { s.tasks.clear(); }) == "schedule: channel 0 of path 0 is in no task");
    CHECK(complaint_after([](Schedule& s) { s.tasks.pop_back(); }) == "schedule: channel 32 of path 0 is in no task");
    CHECK(complaint_after([](Schedule& s) { s.tasks[1].paths = {0}; }) == "schedule: channel 32 of path 1 is in no task");
    CHECK(complaint_after([](Schedule& s) { s.tasks.push_back(s.tasks[0]); }) == "schedule: channel 0 of path 0 is in two tasks");
    CHECK(complaint_after([](Schedule& s) { s.tasks[1].channel_end = 41; }) ==
          "schedule task 1: channel_end = 41, but its lane axis has 40 channels");
    CHECK(complaint_after([](Schedule& s) { s.tasks[0].lane_axis = 1; }) == "schedule task 0: lane_axis = 1, but its paths have 1 axes");
    CHECK(complaint_after([](Schedule& s) { s.tasks[0].lane_axis = -1; }) ==
          "schedule task 0: loops: axis 0 is not the lane axis and needs a loop");
}

TEST_CASE("an axis is spread over the lanes only where a loop over it can do") {
    const Problem problem = parse_problem(R"({"irreps_in1": "10x1o", "irreps_in2": "1o", "irreps_out": "40x0e", "convolution": true,
        "shared_weights": false, "instructions": [[0, 0, 0, "uvw", true]]})");
    const auto complaint = [&](const char* name, const std::function<void(Task&)>& edit) {
        const Target target = std::string_view(name).starts_with("sm_") ? cuda_target(name) : cpu_target(name);
        LoweringOptions options;
        options.schedule = lower(problem, {1, {}, {}}, target, {}).schedule;
        edit(options.schedule->tasks.at(0));
        try {
            lower(problem, {1, {}, {}}, target, options);
        } catch (const UserError& error) {
            return std::string(error.what());
        }
        return std::string();
    };
    CHECK(complaint("sm_90a", [](Task& t) { t.spread_rows = 3; }) == "");
    CHECK(complaint("sm_90a", [](Task& t) { t.spread_axis = t.lane_axis; }) ==
          "schedule task 0: spread_axis = 1: the innermost loop must be its own, and the lanes have another axis");
    CHECK(complaint("x86-64-v3", [](Task& t) { t.spread_axis = 0; }) ==
          "schedule task 0: spread_axis = 0: only lanes of a GPU read each other's registers");
}
