#include <doctest/doctest.h>

#include "ir/irreps.hpp"
#include "ir/limits.hpp"
#include "tests/ir/errors.hpp"

using namespace flashtp;
using flashtp::test::contains;
using flashtp::test::error_of;

TEST_CASE("irreps: grammar") {
    struct Row {
        std::string_view text;
        std::string_view canonical;
        std::int64_t dim;
    };
    const Row rows[] = {
        {"", "", 0},
        {"  ", "", 0},
        {"0e", "1x0e", 1},
        {"128x0e+64x1o", "128x0e+64x1o", 320},
        {" 128 x 0e\t+\n64x 1 o ", "128x0e+64x1o", 320},
        {"1y+2y+3x3y", "1x1o+1x2e+3x3o", 29},
        {"0x5e", "0x5e", 0},
        {"4x0e+4x0e+0x1o+4x0e", "4x0e+4x0e+0x1o+4x0e", 12},
        {"127x8o", "127x8o", 127 * 17},
        {"007x1o", "7x1o", 21},
        {"33x2e+10x3o+1x0o", "33x2e+10x3o+1x0o", 33 * 5 + 10 * 7 + 1},
        {"65536x8e", "65536x8e", 65536 * 17},
    };
    for (const Row& row : rows) {
        CAPTURE(row.text);
        const Irreps irreps = Irreps::parse(row.text);
        CHECK(to_string(irreps) == row.canonical);
        CHECK(irreps.dim() == row.dim);
        CHECK(Irreps::parse(to_string(irreps)) == irreps);
    }
}

TEST_CASE("irreps: parity and degree of a term") {
    const Irreps irreps = Irreps::parse("3x2o+1y+4y");
    CHECK(irreps[0] == MulIrrep{3, {2, -1}});
    CHECK(irreps[1] == MulIrrep{1, {1, -1}});
    CHECK(irreps[2] == MulIrrep{1, {4, 1}});
    CHECK(to_string(irreps[0].irrep) == "2o");
}

TEST_CASE("irreps: offsets count repeated and empty segments") {
    const Irreps irreps = Irreps::parse("4x0e+0x2e+3x1o+3x1o");
    const std::int64_t expected[] = {0, 4, 4, 13, 22};
    for (std::size_t n = 0; n <= irreps.size(); ++n) CHECK(irreps.offset(n) == expected[n]);
    CHECK(irreps.dim() == expected[4]);
}

TEST_CASE("irreps: errors name the term and the rule") {
    struct Row {
        std::string_view text;
        std::string_view term;
        std::string_view rule;
    };
    const Row rows[] = {
        {"16x1", "term 0 \"16x1\"", "must end with the parity e, o or y"},
        {"4x0e+16x1z", "term 1 \"16x1z\"", "must end with the parity e, o or y"},
        {"4x0e+", "term 1 \"\"", "has no irrep"},
        {"+4x0e", "term 0 \"\"", "has no irrep"},
        {"4x0e++1o", "term 1 \"\"", "has no irrep"},
        {"4x", "term 0 \"4x\"", "has no irrep"},
        {"x1o", "term 0 \"x1o\"", "has no multiplicity"},
        {"4xe", "term 0 \"4xe\"", "has no degree l"},
        {"-1x1o", "term 0 \"-1x1o\"", "multiplicity that is not a non-negative integer"},
        {"1.5x1o", "term 0 \"1.5x1o\"", "multiplicity that is not a non-negative integer"},
        {"1e30x1o", "term 0 \"1e30x1o\"", "multiplicity that is not a non-negative integer"},
        {"4x-1o", "term 0 \"4x-1o\"", "degree l that is not a non-negative integer"},
        {"4x4x0e", "term 0 \"4x4x0e\"", "degree l that is not a non-negative integer"},
        {"4x1o 4x2e", "term 0 \"4x1o 4x2e\"", "degree l that is not a non-negative integer"},
        {"4x1O", "term 0 \"4x1O\"", "must end with the parity e, o or y"},
        {"4x9e", "term 0 \"4x9e\": degree l 9", "over the limit max_l = 8"},
        {"1x1000e", "degree l 1000", "max_l"},
        {"65537x0e", "multiplicity 65537", "max_multiplicity"},
        {"1000000000x0e", "multiplicity 1000000000", "max_multiplicity"},
        {"1000000000000000000000000000000x0e", "multiplicity 1000000000000000000000000000000", "max_multiplicity"},
    };
    for (const Row& row : rows) {
        const std::string error = error_of([&] { Irreps::parse(row.text); });
        CAPTURE(row.text);
        CAPTURE(error);
        CHECK(contains(error, row.term));
        CHECK(contains(error, row.rule));
        CHECK(contains(error, "limit: ") == contains(row.rule, "max_"));
    }
}

TEST_CASE("irreps: hostile text is shown cut and stops at the segment limit") {
    const std::string digits(100'000, '9');
    const std::string error = error_of([&] { Irreps::parse(digits + "x0e"); });
    CHECK(contains(error, "max_multiplicity"));
    CHECK(error.size() < 300);

    std::string many = "0e";
    for (std::int64_t n = 1; n < limits::max_segments.value; ++n) many += "+0e";
    CHECK(Irreps::parse(many).dim() == limits::max_segments.value);
    CHECK(contains(error_of([&] { Irreps::parse(many + "+0e"); }), "max_segments"));
}
