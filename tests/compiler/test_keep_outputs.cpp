#include "compiler/keep_outputs.hpp"

#include <doctest/doctest.h>

#include "compiler/expand_paths.hpp"
#include "compiler/factor.hpp"
#include "compiler/linearize.hpp"
#include "compiler/reverse.hpp"
#include "ir/error.hpp"
#include "tests/support/every_triple.hpp"

using namespace flashtp;
using namespace flashtp::test;

namespace {

View plain_view(int components) {
    View view;
    view.components = components;
    return view;
}

/// a, b -> p, q without channels: m0 = a0 b0, m1 = a1 b0, m2 = a1 a0; p = m0; q = m1 + m2.
EdgeProgram two_outputs() {
    EdgeProgram program;
    program.operands = {{"a", 2, Row::edge, Role::input},
                        {"b", 1, Row::edge, Role::input},
                        {"p", 1, Row::edge, Role::output},
                        {"q", 1, Row::edge, Role::output}};
    program.values = {{"a0", {}, 2, Row::edge, Binding{0, plain_view(2)}},
                      {"b0", {}, 1, Row::edge, Binding{1, plain_view(1)}},
                      {"m", {}, 3, Row::edge, std::nullopt},
                      {"p0", {}, 1, Row::edge, Binding{2, plain_view(1)}},
                      {"q0", {}, 1, Row::edge, Binding{3, plain_view(1)}}};
    program.statements = {{-1, {2, ""}, {0, ""}, Use{1, ""}, {{0, 0, 0, 1}, {1, 1, 0, 1}}},
                          {-1, {2, ""}, {0, ""}, Use{0, ""}, {{2, 1, 0, 1}}},
                          {0, {3, ""}, {2, ""}, std::nullopt, {{0, 0, 0, 1}}},
                          {1, {4, ""}, {2, ""}, std::nullopt, {{0, 1, 0, 1}, {0, 2, 0, 1}}}};
    verify(program);
    return program;
}

std::vector<std::string> operand_names(const EdgeProgram& program) {
    std::vector<std::string> names;
    for (const Operand& o : program.operands) names.push_back(o.name);
    return names;
}

const Value& value(const EdgeProgram& program, const std::string& name) { return program.values.at(program.find_value(name)); }

}  // namespace

TEST_CASE("a program in which everything is needed stays as it is") {
    CHECK(without_dead_code(two_outputs()) == two_outputs());
    CHECK(keep_outputs(two_outputs(), {"p", "q"}) == two_outputs());
    CHECK(without_inputs(two_outputs(), {}) == two_outputs());
    CHECK(restrict_to_paths(two_outputs(), {0, 1}) == two_outputs());
}

TEST_CASE("dropping an output drops its operand and, component by component, its work; inputs stay") {
    const EdgeProgram program = keep_outputs(two_outputs(), {"p"});
    verify(program);
    CHECK(operand_names(program) == std::vector<std::string>{"a", "b", "p"});
    CHECK(program.find_value("q0") < 0);
    CHECK(value(program, "m").components == 1);
    CHECK(program.statements.size() == 2);
    CHECK(count_operations(program).once == 1);  // one of the two is a number by another name

    const EdgeProgram nothing = keep_outputs(two_outputs(), {});
    CHECK(operand_names(nothing) == std::vector<std::string>{"a", "b"});
    CHECK((nothing.values.empty() && nothing.statements.empty()));
}

TEST_CASE("components keep their order when others go") {
    const EdgeProgram program = keep_outputs(two_outputs(), {"q"});
    verify(program);
    CHECK(value(program, "m").components == 2);
    const Tensors inputs{{"a", {2, 3}}, {"b", {5}}};
    CHECK(evaluate(program, Graph{1, 1, 1, {}, {}}, inputs) == Tensors{{"q", {3 * 5 + 3 * 2}}});
}

TEST_CASE("without an input its products are gone, and outputs that had nothing else stay and are zero") {
    const EdgeProgram program = without_inputs(two_outputs(), {"b"});
    verify(program);
    CHECK(operand_names(program) == std::vector<std::string>{"a", "p", "q"});
    CHECK(value(program, "m").components == 1);
    const Tensors inputs{{"a", {2, 3}}};
    CHECK(evaluate(program, Graph{1, 1, 1, {}, {}}, inputs) == Tensors{{"p", {0}}, {"q", {6}}});
}

TEST_CASE("a part of the paths keeps all operands and the order of statements") {
    const EdgeProgram program = restrict_to_paths(two_outputs(), {1});
    verify(program);
    CHECK(program.operands == two_outputs().operands);
    const Tensors inputs{{"a", {2, 3}}, {"b", {5}}};
    CHECK(evaluate(program, Graph{1, 1, 1, {}, {}}, inputs) == Tensors{{"p", {0}}, {"q", {21}}});
    CHECK(restrict_to_paths(two_outputs(), {}).statements.empty());
}

TEST_CASE("names that are not operands of that role are our mistake") {
    CHECK_THROWS_AS(keep_outputs(two_outputs(), {"r"}), InternalError);
    CHECK_THROWS_AS(keep_outputs(two_outputs(), {"a"}), InternalError);
    CHECK_THROWS_AS(without_inputs(two_outputs(), {"p"}), InternalError);
}

TEST_CASE("reverse does not trip over values that nobody reads") {
    EdgeProgram program = two_outputs();
    program.statements.pop_back();  // m1 and m2 are dead now, and q is zero
    program.values.push_back({"dead", {}, 1, Row::edge, std::nullopt});
    program.statements.push_back({1, {5, ""}, {0, ""}, std::nullopt, {{0, 0, 0, 1}}});
    const EdgeProgram adjoint = reverse(program);
    CHECK_NOTHROW(verify(adjoint));
    const Tensors inputs{{"a", {2, 3}}, {"b", {5}}, {"d_p", {7}}, {"d_q", {11}}};
    const Tensors outputs = evaluate(adjoint, Graph{1, 1, 1, {}, {}}, inputs);
    CHECK(outputs.at("d_a") == std::vector<double>{35, 0});
    CHECK(outputs.at("d_b") == std::vector<double>{14});
}

TEST_CASE("a square differentiates by the product rule") {
    EdgeProgram program = keep_outputs(two_outputs(), {"q"});
    // m2 = a1 a0: both sources are the same value.
    const Graph graph{1, 1, 1, {}, {}};
    const Tensors inputs{{"a", {2, 3}}, {"b", {0}}, {"d_q", {1}}, {"t_a", {10, 100}}};
    CHECK(evaluate(reverse(program), graph, inputs).at("d_a") == std::vector<double>{3, 2});
    CHECK(evaluate(linearize(program, {"a"}), graph, inputs).at("t_q") == std::vector<double>{2 * 100 + 3 * 10});
}

TEST_CASE("a second adjoint of a program does not reuse the names of the first") {
    const EdgeProgram forward = factor(expand_paths(every_triple(ConnectionMode::uvu, true, 1)), Factoring::products);
    const EdgeProgram order2 = keep_outputs(linearize(reverse(forward), {"x", "y", "w"}), {"t_z", "t_d_x"});
    const EdgeProgram order3 = reverse(order2);
    CHECK_NOTHROW(verify(order3));
    CHECK(order3.find_value("d_p_x0_y0") >= 0);   // the adjoint in order 1
    CHECK(order3.find_value("dd_p_x0_y0") >= 0);  // the adjoint in order 3
}
