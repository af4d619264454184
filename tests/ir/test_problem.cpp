#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "ir/connection_modes.hpp"
#include "ir/problem.hpp"
#include "tests/ir/errors.hpp"

using namespace flashtp;
using flashtp::test::contains;
using flashtp::test::error_of;
using Mode = ConnectionMode;

namespace {

Problem problem_of(const char* in1, const char* in2, const char* out, std::vector<Instruction> instructions) {
    Problem problem;
    problem.irreps_in1 = Irreps::parse(in1);
    problem.irreps_in2 = Irreps::parse(in2);
    problem.irreps_out = Irreps::parse(out);
    problem.instructions = std::move(instructions);
    return problem;
}

/// One scalar path of a mode with the given multiplicities.
Problem scalar_problem(Mode mode, std::int64_t m1, std::int64_t m2, std::int64_t m3, bool weighted) {
    Problem problem;
    problem.irreps_in1 = Irreps({MulIrrep{m1, {}}});
    problem.irreps_in2 = Irreps({MulIrrep{m2, {}}});
    problem.irreps_out = Irreps({MulIrrep{m3, {}}});
    problem.instructions = {{0, 0, 0, mode, weighted}};
    return problem;
}

/// All modes, repeated outputs, a mode's own fan-in in every output, path weights and an output with zero variance.
Problem mixed_problem() {
    return problem_of("4x0e+3x1o+3x1o+0x2e", "2x0e+3x1o+3x1o", "4x0e+4x1o+3x1o+5x0e+9x0e+3x1e",
                      {{0, 0, 0, Mode::uvu, true},
                       {1, 1, 3, Mode::uvw, true, 2.0},
                       {1, 1, 3, Mode::uuw, true, 0.25},
                       {0, 1, 1, Mode::uvu, true},
                       {1, 0, 2, Mode::uvu, false, 0.5},
                       {1, 1, 4, Mode::uvuv, true},
                       {2, 2, 5, Mode::uvu_lt_v, false},
                       {2, 2, 3, Mode::u_lt_vw, true, 3.0},
                       {2, 1, 5, Mode::uuu, true, 0.0},
                       {0, 2, 2, Mode::uvv, true},
                       {0, 0, 3, Mode::uvw, true}});
}

}  // namespace

TEST_CASE("problem: what the label strings of a mode imply") {
    // A second statement of e3nn's table, by hand, with multiplicities that tell the labels apart.
    struct Row {
        std::string_view name;
        Multiplicities m;
        std::vector<std::int64_t> shape;
        std::int64_t fan_in;
        bool may_be_unweighted;
    };
    const Row rows[] = {
        {"uvw", {3, 5, 7}, {3, 5, 7}, 15, false}, {"uvu", {3, 5, 3}, {3, 5}, 5, true},  {"uvv", {3, 5, 5}, {3, 5}, 3, true},
        {"uuw", {5, 5, 7}, {5, 7}, 5, false},     {"uuw", {5, 5, 1}, {5, 1}, 5, true},  {"uuu", {5, 5, 5}, {5}, 1, true},
        {"uvuv", {3, 5, 15}, {3, 5}, 1, true},    {"uvu<v", {5, 5, 10}, {10}, 1, true}, {"u<vw", {5, 5, 7}, {10, 7}, 10, false},
    };
    for (const Row& row : rows) {
        CAPTURE(row.name);
        const std::optional<Mode> mode = find_connection_mode(row.name);
        REQUIRE(mode.has_value());
        CHECK(to_string(*mode) == row.name);
        CHECK(path_shape(*mode, row.m) == row.shape);
        CHECK(fan_in(*mode, row.m) == row.fan_in);
        CHECK(broken_constraint(*mode, true, row.m) == "");
        CHECK(broken_constraint(*mode, false, row.m).empty() == row.may_be_unweighted);
        // Each multiplicity that a mode ties to another must break it when changed; uvw ties none.
        if (*mode != Mode::uvw) {
            const Multiplicities wrong{row.m.in1 + 1, row.m.in2, row.m.out};
            const bool in1_is_free = *mode == Mode::uvv;
            CHECK(broken_constraint(*mode, true, wrong).empty() == in1_is_free);
        }
    }
    CHECK(connection_modes().size() == 8);
    CHECK_FALSE(find_connection_mode("uvx").has_value());
}

TEST_CASE("problem: triangular modes of 0 and 1 channels have no pairs") {
    for (std::int64_t m : {0, 1}) {
        CHECK(path_shape(Mode::uvu_lt_v, {m, m, 0}) == std::vector<std::int64_t>{0});
        CHECK(path_shape(Mode::u_lt_vw, {m, m, 4}) == std::vector<std::int64_t>{0, 4});
        CHECK_NOTHROW(validate(scalar_problem(Mode::uvu_lt_v, m, m, 0, true)));
        CHECK_NOTHROW(validate(scalar_problem(Mode::u_lt_vw, m, m, 4, true)));
    }
}

TEST_CASE("problem: constraints hold for zero multiplicities too") {
    struct Row {
        Mode mode;
        std::int64_t m1, m2, m3;
        bool weighted;
        std::string_view rule;  // nullptr: legal
    };
    const Row rows[] = {
        // e3nn accepts the rows with a rule, then reads wrong weights in later instructions.
        {Mode::uvu, 4, 2, 0, true, "mode uvu needs mul(out) = mul(in1) = 4, but it is 0"},
        {Mode::uvu, 0, 2, 4, true, "mode uvu needs mul(out) = mul(in1) = 0, but it is 4"},
        {Mode::uvv, 4, 0, 4, true, "mode uvv needs mul(out) = mul(in2) = 0, but it is 4"},
        {Mode::uuu, 4, 0, 4, true, "mode uuu needs mul(in1) = mul(in2), but they are 4 and 0"},
        {Mode::uuw, 0, 4, 4, true, "mode uuw needs mul(in1) = mul(in2), but they are 0 and 4"},
        {Mode::uuw, 4, 4, 0, false, "mode uuw without weights needs mul(out) = 1, but it is 0"},
        {Mode::uvuv, 4, 2, 0, true, "mode uvuv needs mul(out) = mul(in1)*mul(in2) = 8, but it is 0"},
        {Mode::uvu_lt_v, 4, 0, 0, true, "mode uvu<v needs mul(in1) = mul(in2), but they are 4 and 0"},
        {Mode::uvu_lt_v, 4, 4, 0, true, "mode uvu<v needs mul(out) = mul(in1)*(mul(in1)-1)/2 = 6, but it is 0"},
        {Mode::u_lt_vw, 0, 4, 2, true, "mode u<vw needs mul(in1) = mul(in2), but they are 0 and 4"},
        {Mode::uvu, 0, 2, 0, true, ""},
        {Mode::uvu, 4, 0, 4, true, ""},
        {Mode::uvw, 4, 0, 5, true, ""},
        {Mode::uvw, 4, 2, 0, true, ""},
        {Mode::uvuv, 0, 2, 0, false, ""},
        {Mode::uuw, 0, 0, 4, true, ""},
    };
    for (const Row& row : rows) {
        const std::string error = error_of([&] { validate(scalar_problem(row.mode, row.m1, row.m2, row.m3, row.weighted)); });
        CAPTURE(error);
        if (!row.rule.empty())
            CHECK(contains(error, row.rule));
        else
            CHECK(error == "(no error)");
    }
}

TEST_CASE("problem: weights of mixed instructions") {
    const Problem problem = mixed_problem();
    CHECK_NOTHROW(validate(problem));
    CHECK(weight_numel(problem) == 159);
    CHECK(path_shape(problem, problem.instructions[1]) == std::vector<std::int64_t>{3, 3, 5});
    CHECK(path_shape(problem, problem.instructions[7]) == std::vector<std::int64_t>{3, 5});
}

TEST_CASE("problem: coefficients are e3nn's, for every normalisation") {
    // Printed by e3nn 0.6.0 (TensorProduct.instructions[i].path_weight) with 17 digits.
    struct Row {
        IrrepNormalization irrep;
        PathNormalization path;
        bool variances;
        std::vector<double> expected;
    };
    using I = IrrepNormalization;
    using P = PathNormalization;
    const Row rows[] = {
        {I::component,
         P::element,
         false,
         {0.70710678118654757, 0.29488391230979427, 0.10425720702853739, 1, 0.5, 1, 1.2247448713915889, 0.36115755925730758, 0,
          0.70710678118654757, 0.20851441405707477}},
        {I::component,
         P::element,
         true,
         {0.28867513459481287, 0.38490017945975052, 0.13608276348795434, 2, 0.26111648393354675, 2.8284271247461903, 0,
          0.47140452079103168, 0, 0.3692744729379982, 0.27216552697590868}},
        {I::component,
         P::path,
         false,
         {0.70710678118654757, 0.23570226039551584, 0.14433756729740643, 1, 0.61237243569579447, 1, 1.2247448713915889, 0.5, 0,
          0.61237243569579447, 0.17677669529663689}},
        {I::component,
         P::none,
         false,
         {1, 1.4142135623730951, 0.5, 1.7320508075688772, 1.2247448713915889, 1, 1.7320508075688772, 1.7320508075688772, 0,
          1.7320508075688772, 1}},
        {I::norm,
         P::element,
         false,
         {0.70710678118654757, 0.88465173692938281, 0.31277162108561213, 1, 0.5, 3, 2.1213203435596424, 1.0834726777719228, 0,
          0.70710678118654757, 0.20851441405707477}},
        {I::norm,
         P::path,
         false,
         {0.70710678118654757, 0.70710678118654757, 0.4330127018922193, 1, 0.61237243569579447, 3, 2.1213203435596424, 1.5, 0,
          0.61237243569579447, 0.17677669529663689}},
        {I::norm,
         P::path,
         true,
         {0.28867513459481287, 4, 2.4494897427831779, 2, 0.35355339059327379, 8.4852813742385695, 0, 2.4494897427831779, 0,
          0.30618621784789724, 0.14433756729740643}},
        {I::norm,
         P::none,
         false,
         {1, 4.2426406871192848, 1.5, 1.7320508075688772, 1.2247448713915889, 3, 3, 5.196152422706632, 0, 1.7320508075688772, 1}},
        {I::none,
         P::element,
         false,
         {0.70710678118654757, 0.29488391230979427, 0.10425720702853739, 0.57735026918962573, 0.28867513459481287, 1,
          0.70710678118654757, 0.36115755925730758, 0, 0.40824829046386302, 0.20851441405707477}},
        {I::none,
         P::path,
         false,
         {0.70710678118654757, 0.23570226039551584, 0.14433756729740643, 0.57735026918962573, 0.35355339059327379, 1,
          0.70710678118654757, 0.5, 0, 0.35355339059327379, 0.17677669529663689}},
        {I::none, P::none, false, {1, 1.4142135623730951, 0.5, 1, 0.70710678118654757, 1, 1, 1.7320508075688772, 0, 1, 1}},
    };
    for (const Row& row : rows) {
        Problem problem = mixed_problem();
        problem.irrep_normalization = row.irrep;
        problem.path_normalization = row.path;
        if (row.variances) {
            problem.in1_var = {2.0, 0.5, 1.5, 1.0};
            problem.in2_var = {3.0, 0.25, 1.0};
            problem.out_var = {1.0, 2.0, 0.5, 4.0, 1.0, 0.0};
        }
        CAPTURE(to_string(row.irrep));
        CAPTURE(to_string(row.path));
        CHECK_NOTHROW(validate(problem));
        CHECK(path_coefficients(problem) == row.expected);  // to the last bit
    }
}

TEST_CASE("problem: instructions of zero weight or multiplicity count in the divisor") {
    // X is a sum over the same output segment: 4*1 from the first, 0 from the second; by path it counts two instructions.
    Problem problem = problem_of("4x0e+0x0e", "1x0e", "4x0e+4x0e",
                                 {{0, 0, 0, Mode::uvw, true}, {1, 0, 0, Mode::uvw, true}, {0, 0, 1, Mode::uvw, true, 0.0}});
    CHECK(path_coefficients(problem) == std::vector<double>{0.5, 0.5, 0.0});
    problem.path_normalization = PathNormalization::path;
    // The second instruction's own X is 0: e3nn skips the division.
    CHECK(path_coefficients(problem) == std::vector<double>{std::sqrt(1.0 / 8.0), 1.0, 0.0});
    problem.path_normalization = PathNormalization::element;
    problem.instructions[2].out = 0;  // zero path_weight, but it doubles X for the others
    CHECK(path_coefficients(problem) == std::vector<double>{std::sqrt(1.0 / 8.0), std::sqrt(1.0 / 8.0), 0.0});
}

TEST_CASE("problem: reordering instructions leaves coefficients with their instruction") {
    Problem problem = mixed_problem();
    const std::vector<double> before = path_coefficients(problem);
    std::swap(problem.instructions[0], problem.instructions[10]);
    const std::vector<double> after = path_coefficients(problem);
    CHECK(after[0] == doctest::Approx(before[10]));
    CHECK(after[10] == doctest::Approx(before[0]));
}

TEST_CASE("problem: legal shapes") {
    const Problem problems[] = {
        problem_of("", "", "", {}),
        problem_of("127x1o", "1x1o", "127x2e", {{0, 0, 0, Mode::uvu}}),
        problem_of("10x8e+33x8o", "2x8e", "10x8e+33x0o", {{0, 0, 0, Mode::uvu}, {1, 0, 1, Mode::uvu}}),
        problem_of("4x0e", "1x0e", "4x0e", {{0, 0, 0}, {0, 0, 0}, {0, 0, 0}}),
    };
    for (const Problem& problem : problems) CHECK_NOTHROW(validate(problem));
}

TEST_CASE("problem: errors name the instruction and the rule") {
    const auto nan = std::numeric_limits<double>::quiet_NaN();
    const auto infinity = std::numeric_limits<double>::infinity();
    struct Row {
        Instruction broken;
        std::string_view message;
    };
    const Row rows[] = {
        {{4, 0, 0}, "instruction 2 (4, 0, 0, uvu): in1 = 4 is not a segment of irreps_in1, which has 4"},
        {{0, 3, 0}, "instruction 2 (0, 3, 0, uvu): in2 = 3 is not a segment of irreps_in2, which has 3"},
        {{0, 0, 6}, "instruction 2 (0, 0, 6, uvu): out = 6 is not a segment of irreps_out, which has 6"},
        {{-1, 0, 0}, "instruction 2 (-1, 0, 0, uvu): in1 = -1"},
        {{1, 0, 0}, "instruction 2 (1, 0, 0, uvu): parities do not multiply: 1o x 0e has parity o, not that of 0e"},
        {{0, 0, 5}, "instruction 2 (0, 0, 5, uvu): 0e x 0e holds degrees 0 to 0, not 1e"},
        {{1, 1, 0}, "instruction 2 (1, 1, 0, uvu): mode uvu needs mul(out) = mul(in1) = 3, but it is 4"},
        {{0, 0, 0, Mode::uuu}, "instruction 2 (0, 0, 0, uuu): mode uuu needs mul(in1) = mul(in2), but they are 4 and 2"},
        {{0, 0, 0, Mode::uvw, false}, "instruction 2 (0, 0, 0, uvw): mode uvw must be weighted"},
        {{1, 1, 3, Mode::u_lt_vw, false}, "instruction 2 (1, 1, 3, u<vw): mode u<vw must be weighted"},
        {{1, 1, 3, Mode::uuw, false}, "mode uuw without weights needs mul(out) = 1, but it is 5"},
        {{0, 0, 0, Mode::uvu, true, -1.0}, "instruction 2 (0, 0, 0, uvu): path_weight -1 must be finite and not negative"},
        {{0, 0, 0, Mode::uvu, true, nan}, "path_weight nan must be finite"},
        {{0, 0, 0, Mode::uvu, true, infinity}, "path_weight inf must be finite"},
        {{0, 0, 0, Mode::uvu, true, 1e300}, "instruction 2 (0, 0, 0, uvu): its coefficient"},
    };
    for (const Row& row : rows) {
        Problem problem = mixed_problem();
        problem.instructions[2] = row.broken;
        const std::string error = error_of([&] { validate(problem); });
        CAPTURE(error);
        CHECK(contains(error, row.message));
    }
}

TEST_CASE("problem: a coefficient must fit the element type") {
    Problem problem = problem_of("4x0e", "1x0e", "4x0e", {{0, 0, 0, Mode::uvu, true, 1e300}});
    CHECK(contains(error_of([&] { validate(problem); }), "does not fit float32"));
    problem.dtype = DType::float64;
    CHECK_NOTHROW(validate(problem));
}

TEST_CASE("problem: variances and names") {
    Problem problem = mixed_problem();
    problem.in2_var = {1.0, 2.0};
    CHECK(error_of([&] { validate(problem); }) == "in2_var has 2 numbers, but irreps_in2 has 3 segments; it needs one a segment");
    problem.in2_var = {1.0, -2.0, 1.0};
    CHECK(contains(error_of([&] { validate(problem); }), "in2_var[1] = -2: a variance must be finite and not negative"));
    problem.in2_var = {1.0, 2.0, std::numeric_limits<double>::quiet_NaN()};
    CHECK(contains(error_of([&] { validate(problem); }), "in2_var[2]"));
    problem.in2_var.clear();
    // A name ends up in comments of generated code.
    for (const char* name : {"a\nb", "a*b", "a\\", "a\"b", "caf\xc3\xa9"}) {
        problem.name = name;
        CHECK(contains(error_of([&] { validate(problem); }), "name \""));
    }
    problem.name = "SevenNet-l3i5:2 (layer 2)";
    CHECK_NOTHROW(validate(problem));
}

TEST_CASE("problem: segments built in code are checked as parsed ones are") {
    struct Row {
        MulIrrep segment;
        std::string_view message;
    };
    const Row rows[] = {
        {{-1, {0, 1}}, "irreps_in1 segment 0: degree and multiplicity must not be negative"},
        {{1, {-1, 1}}, "irreps_in1 segment 0: degree and multiplicity must not be negative"},
        {{1, {0, 0}}, "irreps_in1 segment 0: parity must be 1 or -1"},
        {{1, {9, 1}}, "limit: irreps_in1 segment 0 degree l: 9 is over the limit max_l"},
        {{std::numeric_limits<std::int64_t>::max(), {0, 1}}, "is over the limit max_multiplicity"},
    };
    for (const Row& row : rows) {
        Problem problem;
        problem.irreps_in1 = Irreps(std::vector{row.segment});
        const std::string error = error_of([&] { validate(problem); });
        CAPTURE(error);
        CHECK(contains(error, row.message));
    }
}
