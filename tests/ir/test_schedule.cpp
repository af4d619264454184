#include <doctest/doctest.h>

#include "ir/schedule.hpp"
#include "tests/ir/errors.hpp"

using namespace flashtp;
using flashtp::test::contains;
using flashtp::test::error_of;

namespace {

Schedule full_schedule() {
    Schedule s;
    s.tasks.push_back({{0, 2}, 1, 2, 0, 64, {{LoopKind::chunk, -1}, {LoopKind::receiver, -1}, {LoopKind::edge, -1}}});
    s.tasks.push_back({{1}, -1, 1, 3, 8, {{LoopKind::edge, -1}, {LoopKind::axis, 3}}});
    s.receiver_stationary = true;
    s.ring = {3, CopyMechanism::barrier, 4096};
    s.stage_rows = true;
    s.bulk_reduce = true;
    s.prefetch = 2;
    s.tile_edges = 40;
    s.products = {8, 2, 3, 128};
    s.deterministic = true;
    s.warps_per_block = 2;
    s.min_blocks = 3;
    s.rows_per_warp = 16;
    s.factoring = "forms";
    s.reason = "it \"fits\"";
    return s;
}

}  // namespace

TEST_CASE("schedule: JSON gives back the same schedule and the same bytes") {
    Schedule two_kernels = full_schedule();
    two_kernels.tile_edges = 0;
    two_kernels.tasks[1].kernel = 1;
    CHECK(kernel_count(two_kernels) == 2);
    CHECK(contains(to_string(two_kernels), "loops edge > axis 3; kernel 1\n"));
    for (const Schedule& s : {Schedule{}, full_schedule(), two_kernels}) {
        const std::string json = to_json(s);
        CHECK(parse_schedule(json) == s);
        CHECK(to_json(parse_schedule(json)) == json);
    }
}

TEST_CASE("schedule: absent keys are defaults") {
    CHECK(parse_schedule("{}") == Schedule{});
    Schedule expected;
    expected.tasks.emplace_back();
    CHECK(parse_schedule(R"({"tasks": [{}], "ring": {}})") == expected);
}

TEST_CASE("schedule: printed form") {
    CHECK(to_string(full_schedule()) ==
          "schedule: rows are receivers, 16 a warp; 2 warps a block, 3 blocks; factoring forms\n"
          "ring: 3 stages of 4096 bytes by barrier\n"
          "receiver rows pass through shared memory\n"
          "sender rows leave by bulk reduction\n"
          "weights are made for 40 edges at a time, blocks of 8 rows by 2 vectors, 3 sums in panels of 128\n"
          "rows are asked for 2 edges ahead\n"
          "sums that meet in memory are added in a fixed order\n"
          "because: it \"fits\"\n"
          "task: paths 0 2; lanes over axis 1 channels [0, 64), 2 a lane; loops chunk > receiver > edge\n"
          "task: paths 1; lanes alike; loops edge > axis 3\n");
    CHECK(to_string(Schedule{}) == "schedule: rows are edges, 1 a warp; 4 warps a block, 1 blocks; factoring products\n");
}

TEST_CASE("schedule: errors name the key and the rule") {
    struct Error {
        std::string_view json, message;
    };
    const Error errors[] = {
        {"[]", "schedule: must be an object"},
        {"{", "schedule: not valid JSON"},
        {R"({"task": []})", "schedule: unknown key \"task\"; did you mean \"tasks\"?"},
        {R"({"ring": {"stage": 1}})", "schedule ring: unknown key \"stage\"; did you mean \"stages\"?"},
        {R"({"tasks": [{}, {"path": [1]}]})", "schedule task 1: unknown key \"path\"; did you mean \"paths\"?"},
        {R"({"tasks": {}})", "schedule: tasks must be a list"},
        {R"({"tasks": [1]})", "schedule task 0: must be an object"},
        {R"({"tasks": [{"paths": [0.5]}]})", "schedule task 0: paths must be an integer"},
        {R"({"tasks": [{"paths": [-1]}]})", "schedule task 0: paths = -1 must be from 0 to"},
        {R"({"tasks": [{"channel_begin": 4, "channel_end": 4}]})", "schedule task 0: channel_end must be above channel_begin"},
        {R"({"tasks": [{"kernel": 64}]})", "schedule task 0: kernel = 64 must be from 0 to 63"},
        {R"({"tasks": [{"kernel": 1}], "tile_edges": 8})", "schedule: with tile_edges up to 64, all tasks are of kernel 0"},
        {R"({"tasks": [{"loops": ["edges"]}]})",
         "schedule task 0: loops: \"edges\" is not one of chunk receiver edge axis; did you mean \"edge\"?"},
        {R"({"tasks": [{"loops": ["axis"]}]})", "an axis loop is written {\"axis\": number}"},
        {R"({"tasks": [{"loops": [{}]}]})", "an axis loop is written {\"axis\": number}"},
        {R"({"tasks": [{"loops": [{"axis": 1, "step": 2}]}]})", "schedule task 0: loops: unknown key \"step\""},
        {R"({"tasks": [{"loops": [3]}]})", "schedule task 0: loops: \"3\" is not one of chunk"},
        {R"({"ring": {"copy": "bulk"}})", "schedule ring: copy: \"bulk\" is not one of barrier groups plain"},
        {R"({"ring": {"stages": 17}})", "schedule ring: stages = 17 must be from 0 to 16"},
        {R"({"stage_rows": 1})", "schedule: stage_rows must be true or false"},
        {R"({"reason": 1})", "schedule: reason must be a string"},
        {R"({"warps_per_block": 0})", "schedule: warps_per_block = 0 must be from 1 to 32"},
        {R"({"rows_per_warp": 18446744073709551615})", "schedule: rows_per_warp = 18446744073709551615 must be from 1"},
        {R"({"rows_per_warp": 1.5})", "schedule: rows_per_warp must be an integer"},
        {R"({"min_blocks": 1, "min_blocks": 2})", "schedule: duplicate key \"min_blocks\""},
    };
    for (const Error& e : errors) {
        const std::string message = error_of([&] { parse_schedule(e.json); });
        CAPTURE(message);
        CHECK(contains(message, e.message));
    }
}
