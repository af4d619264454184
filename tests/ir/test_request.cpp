#include <doctest/doctest.h>

#include "ir/request.hpp"
#include "tests/ir/errors.hpp"

using namespace flashtp;
using flashtp::test::contains;
using flashtp::test::error_of;
using Names = std::vector<std::string>;

TEST_CASE("request: outputs and cotangents of every order") {
    CHECK(outputs_of_order(0) == Names{"z"});
    CHECK(outputs_of_order(1) == Names{"d_x", "d_y", "d_w"});
    CHECK(outputs_of_order(2) == Names{"t_z", "t_d_x", "t_d_y", "t_d_w"});
    CHECK(outputs_of_order(3) == Names{"d_x", "d_y", "d_w", "d_d_z", "d_t_x", "d_t_y", "d_t_w"});
    CHECK(outputs_of_order(1, forward_inputs()) == Names{"d_x", "d_y", "d_w", "d_h", "d_W2", "d_b"});
    CHECK(outputs_of_order(3, {"h"}) == Names{"d_h", "d_d_z", "d_t_h"});
    CHECK(cotangents_of_order(0).empty());
    CHECK(cotangents_of_order(1).empty());
    CHECK(cotangents_of_order(2) == Names{"t_x", "t_y", "t_w"});
    CHECK(cotangents_of_order(3) == Names{"t_x", "t_y", "t_w", "d_t_z", "d_t_d_x", "d_t_d_y", "d_t_d_w"});
    CHECK(cotangents_of_order(3, {"h"}) == Names{"t_h", "d_t_z", "d_t_d_h"});
}

TEST_CASE("request: every name of an order is accepted") {
    for (int order = 0; order <= 3; ++order)
        CHECK_NOTHROW(validate(Request{order, outputs_of_order(order), cotangents_of_order(order)}));
}

TEST_CASE("request: errors name what is wrong") {
    struct Row {
        Request request;
        std::string_view message;
    };
    const Row rows[] = {
        {{4, {}, {}}, "order 4: must be from 0 to 3"},
        {{-1, {}, {}}, "order -1: must be from 0 to 3"},
        {{0, {"d_x"}, {}}, "output \"d_x\" is not one of order 0: z"},
        {{1, {"dx"}, {}}, "did you mean \"d_x\"?"},
        {{1, {"d_x", "d_y", "d_x"}, {}}, "output \"d_x\" is named twice"},
        {{1, {}, {"t_x"}}, "absent cotangent \"t_x\" is not one of order 1: it has none"},
        {{2, {}, {"d_t_z"}}, "absent cotangent \"d_t_z\" is not one of order 2: t_x t_y t_w t_h"},
        {{2, {}, {"t_x", "t_x"}}, "absent cotangent \"t_x\" is named twice"},
    };
    for (const Row& row : rows) {
        const std::string error = error_of([&] { validate(row.request); });
        CAPTURE(error);
        CHECK(contains(error, row.message));
    }
}

TEST_CASE("request: printed form") {
    CHECK(to_string(Request{}) == "order 0");
    CHECK(to_string(Request{2, {"t_z", "t_d_x"}, {"t_w"}}) == "order 2, outputs t_z t_d_x, absent t_w");
}
