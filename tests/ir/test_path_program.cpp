#include "ir/path_program.hpp"

#include <random>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "compiler/expand_paths.hpp"
#include "ir/error.hpp"
#include "ir/evaluate.hpp"
#include "tests/support/mode_problem.hpp"

using namespace flashtp;
using namespace flashtp::test;

namespace {

PathProgram small_program(bool weighted = true) {
    ModeProblem what;
    what.weighted = weighted;
    what.max_l = 1;
    return expand_paths(mode_problem(what));
}

std::vector<std::string> names(const PathProgram& program, Role role) {
    std::vector<std::string> result;
    for (const Operand& operand : program.operands) {
        if (operand.role == role) result.push_back(operand.name);
    }
    return result;
}

std::size_t terms_into(const PathProgram& program, const std::string& output) {
    std::size_t count = 0;
    for (const Term& term : program.terms)
        count += program.operands[static_cast<std::size_t>(term.operand[term.written])].name == output;
    return count;
}

/// Writing, reading and slots of one term as text: "d_x = y w d_z".
std::string text_of(const PathProgram& program, const Term& term) {
    const auto name = [&](int slot) {
        return program.operands[static_cast<std::size_t>(term.operand[static_cast<std::size_t>(slot)])].name;
    };
    std::string text = name(term.written) + " =";
    for (const int slot : {slot_x, slot_y, slot_w, slot_z}) {
        if (slot != term.written && term.operand[static_cast<std::size_t>(slot)] >= 0) text += " " + name(slot);
    }
    return text;
}

std::vector<std::string> terms_of_path(const PathProgram& program, int path) {
    std::vector<std::string> result;
    for (const Term& term : program.terms) {
        if (term.path == path) result.push_back(text_of(program, term));
    }
    return result;
}

using Names = std::vector<std::string>;

}  // namespace

TEST_CASE("operands of every order, inputs before outputs, as requests name them") {
    const PathProgram forward = small_program();
    CHECK(derivative(forward, {0, {}, {}}) == forward);
    const Names inputs[] = {{"x", "y", "w"},
                            {"x", "y", "w", "d_z"},
                            {"x", "y", "w", "d_z", "t_x", "t_y", "t_w"},
                            {"x", "y", "w", "d_z", "t_x", "t_y", "t_w", "d_t_z", "d_t_d_x", "d_t_d_y", "d_t_d_w"}};
    for (int order = 0; order <= 3; ++order) {
        INFO("order " << order);
        const PathProgram program = derivative(forward, {order, {}, {}});
        CHECK(names(program, Role::input) == inputs[order]);
        CHECK(names(program, Role::output) == outputs_of_order(order));
        for (std::size_t id = 0; id < inputs[order].size(); ++id) CHECK(program.operands[id].role == Role::input);
    }
}

TEST_CASE("an unweighted problem has no operand of w at any order") {
    const PathProgram forward = small_program(false);
    CHECK(names(derivative(forward, {1, {}, {}}), Role::output) == Names{"d_x", "d_y"});
    CHECK(names(derivative(forward, {2, {}, {}}), Role::input) == Names{"x", "y", "d_z", "t_x", "t_y"});
    CHECK(names(derivative(forward, {3, {}, {}}), Role::output) == Names{"d_x", "d_y", "d_d_z", "d_t_x", "d_t_y"});
    CHECK_THROWS_AS(derivative(forward, {1, {"d_w"}, {}}), UserError);
    CHECK(derivative(forward, {2, {}, {"t_w"}}) == derivative(forward, {2, {}, {}}));  // absent already
}

TEST_CASE("twins have the rows and widths of their originals and the roles of the transform") {
    const PathProgram third = derivative(small_program(), {3, {}, {}});
    for (const Operand& operand : third.operands) {
        const char original = operand.name.back();
        INFO(operand.name);
        const Row row = original == 'x' ? Row::sender : original == 'z' ? Row::receiver : Row::edge;
        CHECK(operand.row == row);
        CHECK(operand.width == small_program().operands[static_cast<std::size_t>(small_program().find({original}))].width);
    }
}

TEST_CASE("terms of every order: the product rule") {
    const PathProgram forward = small_program();
    CHECK(terms_of_path(forward, 0) == Names{"z = x y w"});
    CHECK(terms_of_path(derivative(forward, {1, {}, {}}), 0) == Names{"d_x = y w d_z", "d_y = x w d_z", "d_w = x y d_z"});
    const Names second{"t_z = t_x y w",     "t_z = x t_y w",     "t_z = x y t_w",     "t_d_x = t_y w d_z", "t_d_x = y t_w d_z",
                       "t_d_y = t_x w d_z", "t_d_y = x t_w d_z", "t_d_w = t_x y d_z", "t_d_w = x t_y d_z"};
    CHECK(terms_of_path(derivative(forward, {2, {}, {}}), 0) == second);
    const PathProgram third = derivative(forward, {3, {}, {}});
    CHECK(terms_of_path(third, 0).size() == 27);
    CHECK(terms_into(third, "d_x") == 4 * forward.paths.size());    // of order 2's terms, 4 read x,
    CHECK(terms_into(third, "d_d_z") == 6 * forward.paths.size());  // 6 read d_z (all of t_d_x, t_d_y, t_d_w), 3 read t_x
    CHECK(terms_into(third, "d_t_x") == 3 * forward.paths.size());
}

TEST_CASE("reverse and linearize keep the primal program and name what they add") {
    const PathProgram forward = small_program();
    const PathProgram reversed = reverse(forward);
    CHECK(reversed.find("z") >= 0);
    CHECK(terms_into(reversed, "z") == forward.terms.size());
    CHECK(reversed.operands[static_cast<std::size_t>(reversed.find("d_z"))].role == Role::input);
    CHECK(reversed.operands[static_cast<std::size_t>(reversed.find("d_x"))].role == Role::output);

    const PathProgram tangent = linearize(forward, {"x", "w"});
    CHECK(tangent.find("t_y") == -1);
    CHECK(terms_of_path(tangent, 0) == Names{"z = x y w", "t_z = t_x y w", "t_z = x y t_w"});
    CHECK_THROWS_AS(linearize(tangent, {"x"}), InternalError);  // t_x exists already
}

TEST_CASE("an operand no path reads has a gradient, and it is zero") {
    PathProgram forward = small_program();
    forward.operands.push_back({"unread", 2, Row::shared, Role::input});
    const PathProgram reversed = reverse(forward);
    CHECK(terms_into(reversed, "d_unread") == 0);
    const PathProgram kept = keep_outputs(reversed, {"d_unread"});
    CHECK(kept.terms.empty());
    Tensors tensors;
    const Graph graph{0, 0, 0, {}, {}};
    for (const Operand& operand : kept.operands) tensors[operand.name].resize(operand.row == Row::shared ? 2 : 0);
    CHECK(evaluate(kept, graph, tensors).at("d_unread").value == std::vector<double>{0, 0});
}

TEST_CASE("absent cotangents disappear with their terms; outputs stay") {
    const PathProgram forward = small_program();
    const PathProgram program = derivative(forward, {2, {}, {"t_w", "t_y"}});
    CHECK(terms_of_path(program, 0) == Names{"t_z = t_x y w", "t_d_y = t_x w d_z", "t_d_w = t_x y d_z"});
    CHECK(names(program, Role::input) == Names{"x", "y", "w", "d_z", "t_x"});
    CHECK(names(program, Role::output) == outputs_of_order(2));  // t_d_x is zero and still there

    const PathProgram nothing = derivative(forward, {2, {}, {"t_x", "t_y", "t_w"}});
    CHECK(nothing.terms.empty());
    CHECK(nothing.operands.size() == 4 + 4);
}

TEST_CASE("order 3 without some cotangents is the reverse of order 2 restricted to the others") {
    const PathProgram forward = small_program();
    const PathProgram restricted = keep_outputs(derivative(forward, {2, {}, {}}), {"t_d_x"});
    const PathProgram expected = keep_outputs(reverse(restricted), outputs_of_order(3));
    const PathProgram program = derivative(forward, {3, {}, {"d_t_z", "d_t_d_y", "d_t_d_w"}});
    CHECK(names(program, Role::output) == outputs_of_order(3));
    REQUIRE(program.terms.size() == expected.terms.size());
    for (int path = 0; path < static_cast<int>(forward.paths.size()); ++path)
        CHECK(terms_of_path(program, path) == terms_of_path(expected, path));
}

TEST_CASE("keep_outputs keeps the signature and drops the work of the others") {
    const PathProgram program = derivative(small_program(), {1, {"d_y"}, {}});
    CHECK(names(program, Role::input) == Names{"x", "y", "w", "d_z"});
    CHECK(names(program, Role::output) == Names{"d_y"});
    CHECK(terms_of_path(program, 0) == Names{"d_y = x w d_z"});
}

TEST_CASE("requests are checked") {
    const PathProgram forward = small_program();
    CHECK_THROWS_AS(derivative(forward, {4, {}, {}}), UserError);
    CHECK_THROWS_AS(derivative(forward, {1, {"t_z"}, {}}), UserError);
    CHECK_THROWS_AS(derivative(forward, {1, {}, {"d_z"}}), UserError);
}

TEST_CASE("the printed form is one line an operand, a path and a term") {
    Problem problem;
    problem.irreps_in1 = Irreps::parse("4x1o");
    problem.irreps_in2 = Irreps::parse("1o");
    problem.irreps_out = Irreps::parse("4x0e");
    problem.instructions = {{0, 0, 0, ConnectionMode::uvu, true, 1.0}};
    CHECK(to_string(derivative(expand_paths(problem), {1, {"d_x"}, {}})) ==
          "operands\n"
          "  input x sender, width 12\n"
          "  input y edge, width 3\n"
          "  input w edge, width 4\n"
          "  input d_z receiver, width 4\n"
          "  output d_x sender, width 12\n"
          "paths\n"
          "  0: 1o[0] x 1o[0] -> 0e[0] uvu, 3 coefficients, norm 1, x[u] at 0, 4 by 3, components 3 by 1, "
          "y[] at 0, components 3 by 1, w[u] at 0, 4 by 1, components 1 by 1, z[u] at 0, 4 by 1, components 1 by 1\n"
          "terms\n"
          "  d_x += path 0 of y, w, d_z\n");
}

TEST_CASE("verify finds what does not fit") {
    const PathProgram good = small_program();
    CHECK_NOTHROW(verify(good));
    const auto broken = [&](auto change) {
        PathProgram program = good;
        change(program);
        CHECK_THROWS_AS(verify(program), InternalError);
    };
    broken([](PathProgram& p) { p.operands[1].name = "x"; });
    broken([](PathProgram& p) { p.operands[0].width -= 1; });
    broken([](PathProgram& p) { p.operands[3].role = Role::input; });
    broken([](PathProgram& p) { p.operands[0].role = Role::output; });
    broken([](PathProgram& p) { p.paths[0].labels[slot_x] = "uv"; });
    broken([](PathProgram& p) { p.paths[0].labels[slot_w] = "vv"; });
    broken([](PathProgram& p) { p.paths[0].views[slot_z]->axes[0].extent = 7; });
    broken([](PathProgram& p) { p.paths[0].views[slot_y].reset(); });
    broken([](PathProgram& p) { p.paths[0].coefficients[0].k = 9; });
    broken([](PathProgram& p) { p.paths[0].coefficients[0].i = -1; });
    broken([](PathProgram& p) { p.terms[0].operand[slot_w] = -1; });
    broken([](PathProgram& p) { p.terms[0].operand[slot_x] = 17; });
    broken([](PathProgram& p) { p.terms[0].path = 17; });
    broken([](PathProgram& p) { p.terms[0].written = slot_x; });
}
