#include "compiler/factor.hpp"

#include <set>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include "compiler/derivative.hpp"
#include "compiler/expand_paths.hpp"
#include "compiler/linear_forms.hpp"
#include "ir/connection_modes.hpp"
#include "ir/error.hpp"
#include "tests/support/every_triple.hpp"

using namespace flashtp;
using namespace flashtp::test;

namespace {

std::vector<std::string> names_starting_with(const EdgeProgram& program, const std::string& prefix) {
    std::vector<std::string> names;
    for (const Value& v : program.values) {
        if (v.name.starts_with(prefix)) names.push_back(v.name);
    }
    return names;
}

/// Multiply-adds over channels, multiply-adds once an edge, sums over lanes.
std::string counts(const Problem& problem, Factoring factoring, const Request& request) {
    const EdgeProgram program = derivative(factor(expand_paths(problem), factoring), request);
    const OperationCount count = count_operations(program);
    return fmt::format("{}+{}|{}", count.channel, count.once, count.lane_sums);
}

std::string counts_of_orders(const Problem& problem, Factoring factoring) {
    std::string text;
    for (int order = 0; order <= 2; ++order) text += counts(problem, factoring, Request{order, {}, {}}) + " ";
    return text;
}

/// Two paths of one x and one y segment: 0e x 0e -> 0e, weighted, in two modes that bind the axes differently.
Problem two_modes() {
    Problem problem;
    problem.irreps_in1 = Irreps::parse("2x0e");
    problem.irreps_in2 = Irreps::parse("2x0e");
    problem.irreps_out = Irreps::parse("2x0e");
    problem.instructions = {{0, 0, 0, ConnectionMode::uvu, true, 1}, {0, 0, 0, ConnectionMode::uuu, true, 1}};
    return problem;
}

}  // namespace

TEST_CASE("operation counts of real layers") {
    // Fewer is better, but then say so here: scheduling and the cost model rest on these numbers.
    using enum Factoring;
    const Problem sevennet = sevennet_l3i5_layer();
    CHECK(counts_of_orders(sevennet, products) == "41280+0|0 93824+0|64 206688+0|64 ");
    CHECK(counts_of_orders(sevennet, coefficients) == "29824+331|0 81696+662|317 193216+993|317 ");
    CHECK(counts_of_orders(sevennet, weights_first) == "28288+331|0 62816+662|317 153920+993|317 ");

    const Problem nequip = nequip_l3_layer();
    CHECK(counts_of_orders(nequip, products) == "63488+0|0 143360+0|128 313088+0|128 ");
    CHECK(counts_of_orders(nequip, weights_first) == "44608+331|0 99200+662|634 243008+993|634 ");

    const Problem mace = mace_large_layer();
    CHECK(counts_of_orders(mace, products) == "43264+0|0 102400+0|32 230912+0|32 ");
    CHECK(counts_of_orders(mace, weights_first) == "25088+52|0 55808+104|59 136704+156|59 ");
}

TEST_CASE("absent cotangents make the real layer's double backward much smaller") {
    const Problem sevennet = sevennet_l3i5_layer();
    CHECK(counts(sevennet, Factoring::products, Request{2, {}, {"t_w"}}) == "112864+0|64");
    CHECK(counts(sevennet, Factoring::products, Request{2, {}, {"t_x", "t_w"}}) == "90336+0|0");
}

TEST_CASE("paths share the products of the segments they read") {
    for (const Problem& problem : {sevennet_l3i5_layer(), mace_large_layer()}) {
        std::set<std::pair<int, int>> pairs;
        for (const Instruction& instruction : problem.instructions) pairs.emplace(instruction.in1, instruction.in2);
        const EdgeProgram program = factor(expand_paths(problem), Factoring::products);
        CHECK(names_starting_with(program, "p_").size() == pairs.size());
        CHECK(pairs.size() < problem.instructions.size());
    }
}

TEST_CASE("paths share the linear forms of the segments of y") {
    for (const auto factoring : {Factoring::coefficients, Factoring::weights_first}) {
        const EdgeProgram program = factor(expand_paths(sevennet_l3i5_layer()), factoring);
        CHECK(names_starting_with(program, "M_") == std::vector<std::string>{"M_y0", "M_y1", "M_y2", "M_y3"});
    }
}

TEST_CASE("products are shared only where the labels agree") {
    const EdgeProgram program = factor(expand_paths(two_modes()), Factoring::products);
    CHECK(names_starting_with(program, "p_").size() == 2);
    CHECK(program.values[program.find_value("p_x0_y0")].extents == std::vector<std::int64_t>{2, 2});
    CHECK(program.values[program.find_value("p_x0_y0_")].extents == std::vector<std::int64_t>{2});
}

TEST_CASE("values are called after operand, segment and path") {
    const PathProgram paths = expand_paths(mace_large_layer());
    const EdgeProgram products = factor(paths, Factoring::products);
    for (const char* name : {"x0", "x1", "y3", "w9", "z9", "p_x1_y2", "r5"}) CHECK_MESSAGE(products.find_value(name) >= 0, name);
    const EdgeProgram weights_first = factor(paths, Factoring::weights_first);
    for (const char* name : {"M_y2", "s5"}) CHECK_MESSAGE(weights_first.find_value(name) >= 0, name);
    const EdgeProgram order3 = derivative(products, Request{3, {}, {}});
    for (const char* name : {"d_p_x1_y2", "t_d_p_x1_y2", "d_x0", "d_d_z9", "d_t_x1", "dd_r5", "dd_t_p_x1_y2"}) {
        CHECK_MESSAGE(order3.find_value(name) >= 0, name);
    }
}

TEST_CASE("the two halves of a triangular pair are two values of one segment") {
    const EdgeProgram program = factor(expand_paths(every_triple(ConnectionMode::uvu_lt_v, true, 0)), Factoring::products);
    CHECK(program.find_value("x0_first") >= 0);
    CHECK(program.find_value("y0_second") >= 0);
}

TEST_CASE("statements that several paths need belong to no path; all others to theirs") {
    for (const auto factoring : {Factoring::products, Factoring::weights_first}) {
        for (const Statement& s :
             derivative(factor(expand_paths(mace_large_layer()), factoring), Request{2, {}, {}}).statements) {
            CHECK(s.path < 10);
        }
        const EdgeProgram forward = factor(expand_paths(mace_large_layer()), factoring);
        for (const Statement& s : forward.statements) {
            const std::string& name = forward.values[s.dst.value].name;
            CHECK((s.path == -1) == (name.starts_with("p_") || name.starts_with("M_")));
        }
    }
}

TEST_CASE("a weight comes first only where it has rows of edges and no axis of its own") {
    const auto weighted_inputs = [](Problem problem, Factoring factoring) {
        return names_starting_with(factor(expand_paths(problem), factoring), "s").size();
    };
    Problem uvu = every_triple(ConnectionMode::uvu, true, 1);
    const std::size_t paths = uvu.instructions.size();
    CHECK(weighted_inputs(uvu, Factoring::weights_first) == paths);
    CHECK(weighted_inputs(uvu, Factoring::coefficients) == 0);
    CHECK(weighted_inputs(every_triple(ConnectionMode::uvw, true, 1), Factoring::weights_first) == 0);
    CHECK(weighted_inputs(every_triple(ConnectionMode::uvu, false, 1), Factoring::weights_first) == 0);
    uvu.shared_weights = true;
    CHECK(weighted_inputs(uvu, Factoring::weights_first) == 0);
}

TEST_CASE("forward, a weight scales the only component of x or y, not each of the others") {
    Problem problem;
    problem.irreps_in1 = Irreps::parse("8x0e+8x1o");
    problem.irreps_in2 = Irreps::parse("0e+1o");
    problem.irreps_out = Irreps::parse("8x1o");
    problem.instructions = {{0, 1, 0, ConnectionMode::uvu, true, 1}, {1, 0, 0, ConnectionMode::uvu, true, 1}};
    const auto scaled = [&](int order) { return names_starting_with(factor(expand_paths(problem), Factoring::merged, order), "s").size(); };
    CHECK(scaled(0) == 2);
    CHECK(scaled(1) == 0);  // d_w would need the products all the same
    const auto operations = [&](Factoring factoring) { return count_operations(factor(expand_paths(problem), factoring)).channel; };
    CHECK(operations(Factoring::merged) == 8 * 2 * (2 + 3));
    CHECK(operations(Factoring::merged) < operations(Factoring::products));
    problem.shared_weights = true;
    CHECK(scaled(0) == 0);
}

TEST_CASE("no intermediate value has sender rows, at any order") {
    for (const bool shared : {false, true}) {
        Problem problem = every_triple(ConnectionMode::uvu, true, 1);
        problem.shared_weights = shared;
        for (const auto factoring : {Factoring::products, Factoring::weights_first}) {
            for (int order = 0; order <= 3; ++order) {
                const EdgeProgram program = derivative(factor(expand_paths(problem), factoring), Request{order, {}, {}});
                for (const Value& v : program.values) CHECK((v.binding || v.row != Row::sender));
            }
        }
    }
}

TEST_CASE("what is made from sender rows alone belongs to the edge") {
    PathProgram paths = expand_paths(every_triple(ConnectionMode::uvu, true, 1));
    paths.operands[paths.find("y")].row = Row::sender;
    for (const auto factoring : {Factoring::products, Factoring::coefficients}) {
        const EdgeProgram program = factor(paths, factoring);
        CHECK_NOTHROW(verify(program));
        for (const char* name : {"p_x0_y0", "M_y0", "r0"}) {
            const ValueId id = program.find_value(name);
            if (id >= 0) CHECK_MESSAGE(program.values[id].row == Row::edge, name);
        }
    }
}

TEST_CASE("factoring is deterministic") {
    for (const auto factoring : {Factoring::products, Factoring::coefficients, Factoring::weights_first}) {
        const EdgeProgram once = factor(expand_paths(nequip_l3_layer()), factoring);
        const EdgeProgram twice = factor(expand_paths(nequip_l3_layer()), factoring);
        CHECK(once == twice);
        CHECK(to_string(once) == to_string(twice));
    }
}

TEST_CASE("factor takes forward programs only") {
    const PathProgram forward = expand_paths(two_modes());
    CHECK_THROWS_AS(factor(reverse(forward), Factoring::products), InternalError);
}

TEST_CASE("linear forms that are equal up to sign and rounding are one form") {
    LinearForms forms;
    const double third = 1.0 / 3;
    const double rounded = third * (1 + 2.3e-16);  // its neighbour
    REQUIRE(rounded != third);
    const ScaledForm first = forms.find_or_add({{0, third}, {2, -0.5}});
    CHECK((first.component == 0 && first.sign == 1));
    const ScaledForm negated = forms.find_or_add({{0, -rounded}, {2, 0.5}});
    CHECK((negated.component == 0 && negated.sign == -1));
    CHECK(forms.find_or_add({{0, third}, {2, 0.5}}).component == 1);
    CHECK(forms.find_or_add({{1, third}, {2, -0.5}}).component == 2);
    CHECK(forms.find_or_add({{0, third * (1 + 1e-13)}, {2, -0.5}}).component == 3);
    CHECK(forms.find_or_add({{0, third}}).component == 4);
}
