// Faults of schedules that come from a file.
#include <functional>
#include <string>

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
