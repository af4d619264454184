#include <doctest/doctest.h>

#include "ir/problem.hpp"
#include "tests/ir/errors.hpp"

using namespace flashtp;
using flashtp::test::contains;
using flashtp::test::error_of;

namespace {

std::string radial_spec(const std::string& keys, const std::string& weighted = "true") {
    return R"({"irreps_in1": "4x0e", "irreps_in2": "0e", "irreps_out": "4x0e", "instructions": [[0, 0, 0, "uvu", )" + weighted +
           "]], " + keys + "}";
}

}  // namespace

TEST_CASE("radial key: what it says and its defaults") {
    CHECK(parse_problem(radial_spec(R"("radial": {"hidden": 64})")).radial == Radial{64, 1, false});
    CHECK(parse_problem(radial_spec(R"("radial": {"hidden": 8, "scale": -0.5, "bias": true})")).radial == Radial{8, -0.5, true});
    CHECK(parse_problem(radial_spec(R"("radial": {"hidden": 8, "scale": null, "bias": null})")).radial == Radial{8, 1, false});
    CHECK_FALSE(parse_problem(radial_spec(R"("radial": null)")).radial);
    const Problem problem = parse_problem(radial_spec(R"("radial": {"hidden": 3, "scale": 0.1, "bias": true})"));
    CHECK(parse_problem(to_json(problem)) == problem);
}

TEST_CASE("radial key: errors name the key and the rule") {
    struct Row {
        std::string keys;
        std::string_view message;
    };
    const Row rows[] = {
        {R"("radial": 64)", R"(radial: must be an object such as {"hidden": 64})"},
        {R"("radial": {})", "radial: missing key \"hidden\""},
        {R"("radial": {"hidden": null})", "radial: hidden must be a non-negative integer"},
        {R"("radial": {"hidden": 0})", "radial: hidden is 0; it must be 1 or more"},
        {R"("radial": {"hidden": 2.5})", "radial: hidden must be a non-negative integer, not 2.5"},
        {R"("radial": {"hidden": -1})", "radial: hidden must be a non-negative integer"},
        {R"("radial": {"hidden": 4097})", "limit: radial: hidden: 4097 is over the limit max_hidden = 4096"},
        {R"("radial": {"hidden": 8, "scale": 0})", "radial: scale is 0; it must be finite"},
        {R"("radial": {"hidden": 8, "scale": 1e300})", "fit float32"},
        {R"("radial": {"hidden": 8, "scale": "1"})", "radial: scale: must be a number"},
        {R"("radial": {"hidden": 8, "bias": 1})", "radial: bias: must be true or false"},
        {R"("radial": {"hiden": 8})", "radial: unknown key \"hiden\"; did you mean \"hidden\"?"},
        {R"("radial": {"hidden": 8}, "shared_weights": true)", "shared_weights must be false"},
    };
    for (const Row& row : rows) {
        const std::string error = error_of([&] { parse_problem(radial_spec(row.keys)); });
        CAPTURE(error);
        CAPTURE(row.keys);
        CHECK(contains(error, row.message));
    }
    CHECK(contains(error_of([] { parse_problem(radial_spec(R"("radial": {"hidden": 8})", "false")); }),
                   "no instruction has weights"));
}
