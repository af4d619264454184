#include <doctest/doctest.h>

#include <algorithm>

#include "ir/error.hpp"
#include "ir/view.hpp"

using namespace flashtp;

namespace {

/// Largest position over all indices of a view with up to two axes, plus one.
std::int64_t end_by_enumeration(const View& view) {
    std::int64_t end = view.offset;
    std::vector<std::int64_t> index(view.axes.size(), 0);
    const std::int64_t first = view.axes.empty() ? 1 : view.axes[0].extent;
    const std::int64_t second = view.axes.size() < 2 ? 1 : view.axes[1].extent;
    for (std::int64_t i = 0; i < first; ++i)
        for (std::int64_t j = 0; j < second; ++j)
            for (int k = 0; k < view.components; ++k) {
                if (!index.empty()) index[0] = i;
                if (index.size() > 1) index[1] = j;
                end = std::max(end, view.position(index, k) + 1);
            }
    return end;
}

}  // namespace

TEST_CASE("view: positions in both layouts, of a split output and of pairs") {
    const View mul_ir{.offset = 10, .axes = {{4, 3}}, .components = 3};
    CHECK(mul_ir.position({2}, 1) == 10 + 2 * 3 + 1);
    const View ir_mul{.offset = 10, .axes = {{4, 1}}, .components = 3, .component_stride = 4};
    CHECK(ir_mul.position({2}, 1) == 10 + 4 + 2);
    const View uv{.offset = 0, .axes = {{4, 15}, {5, 3}}, .components = 3};
    CHECK(uv.position({1, 2}, 2) == 15 + 6 + 2);
    const View scalar{.offset = 7};
    CHECK(scalar.position({}, 0) == 7);
    // pairs of 4 channels: 01 02 03 12 13 23
    const View u{.offset = 100, .axes = {{6, 3}}, .components = 3, .pair = PairAxis{4, false}};
    const View v{.offset = 100, .axes = {{6, 3}}, .components = 3, .pair = PairAxis{4, true}};
    CHECK(u.position({4}, 0) == 100 + 3 * 1);
    CHECK(v.position({4}, 0) == 100 + 3 * 3);
}

TEST_CASE("view: end is one past the largest position") {
    const View views[] = {
        {.offset = 10, .axes = {{4, 3}}, .components = 3},
        {.offset = 10, .axes = {{4, 1}}, .components = 3, .component_stride = 4},
        {.offset = 0, .axes = {{4, 15}, {5, 3}}, .components = 3},
        {.offset = 7},
        {.offset = 3, .axes = {{0, 3}}, .components = 3},
        {.offset = 3, .axes = {{6, 3}}, .components = 3, .pair = PairAxis{4, false}},
        {.offset = 3, .axes = {{6, 3}}, .components = 3, .pair = PairAxis{4, true}},
        {.offset = 3, .axes = {{6, 1}, {2, 20}}, .components = 5, .component_stride = 4, .pair = PairAxis{4, true}},
    };
    for (const View& view : views) {
        CAPTURE(to_string(view));
        CHECK(view.end() == end_by_enumeration(view));
    }
}

TEST_CASE("view: wrong indices are an internal error") {
    const View view{.offset = 0, .axes = {{4, 3}}, .components = 3};
    CHECK_THROWS_AS(view.position({}, 0), InternalError);
    CHECK_THROWS_AS(view.position({1, 1}, 0), InternalError);
}

TEST_CASE("view: pairs are ranked row-major in the upper triangle") {
    for (std::int64_t m : {2, 3, 4, 10, 33, 127}) {
        std::int64_t q = 0;
        for (std::int64_t u = 0; u < m; ++u)
            for (std::int64_t v = u + 1; v < m; ++v) CHECK(unrank_pair(m, q++) == std::pair(u, v));
    }
    // The largest multiplicity, first and last pair of every u: where a rounded root would go wrong.
    const std::int64_t m = 65'536;
    std::int64_t first = 0;
    for (std::int64_t u = 0; u + 1 < m; ++u) {
        CHECK(unrank_pair(m, first) == std::pair(u, u + 1));
        first += m - 1 - u;
        CHECK(unrank_pair(m, first - 1) == std::pair(u, m - 1));
    }
}

TEST_CASE("view: printed forms") {
    CHECK(to_string(View{.offset = 12, .axes = {{64, 3}}, .components = 3}) == "at 12, 64 by 3, components 3 by 1");
    CHECK(to_string(View{.axes = {{6, 1}}, .components = 3, .component_stride = 4, .pair = PairAxis{4, true}}) ==
          "at 0, 6 by 1, components 3 by 4, v of pairs u<v of 4");
    CHECK(to_string(Row::receiver) == "receiver");
    CHECK(to_string(Role::output) == "output");
}
