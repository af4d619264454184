#include "ir/edge_program.hpp"

#include <functional>

#include <doctest/doctest.h>

#include "ir/error.hpp"

using namespace flashtp;

namespace {

View view_of(std::int64_t offset, std::vector<ViewAxis> axes, int components) {
    View view;
    view.offset = offset;
    view.axes = std::move(axes);
    view.components = components;
    return view;
}

/// One uvu path with shared weights of a convolution: p_ij[u,v] = x_i[u] y_j[v]; r[u,v] = p_00 / 2 - p_10;
/// z[u] += w[u,v] r[u,v], where x has 2 channels of 2 components and y 3 channels of 1.
EdgeProgram example() {
    EdgeProgram program;
    program.operands = {{"x", 4, Row::sender, Role::input},
                        {"y", 3, Row::edge, Role::input},
                        {"w", 6, Row::shared, Role::input},
                        {"z", 2, Row::receiver, Role::output}};
    program.values = {{"x0", {2}, 2, Row::sender, Binding{0, view_of(0, {{2, 2}}, 2)}},
                      {"y0", {3}, 1, Row::edge, Binding{1, view_of(0, {{3, 1}}, 1)}},
                      {"w0", {2, 3}, 1, Row::shared, Binding{2, view_of(0, {{2, 3}, {3, 1}}, 1)}},
                      {"z0", {2}, 1, Row::receiver, Binding{3, view_of(0, {{2, 1}}, 1)}},
                      {"p", {2, 3}, 2, Row::edge, std::nullopt},
                      {"r", {2, 3}, 1, Row::edge, std::nullopt}};
    program.statements = {{-1, {4, "uv"}, {0, "u"}, Use{1, "v"}, {{0, 0, 0, 1}, {1, 1, 0, 1}}},
                          {0, {5, "uv"}, {4, "uv"}, std::nullopt, {{0, 0, 0, 0.5}, {0, 1, 0, -1}}},
                          {0, {3, "u"}, {2, "uv"}, Use{5, "uv"}, {{0, 0, 0, 1}}}};
    return program;
}

constexpr const char* example_text = R"(operands
  input x[4] @sender
  input y[3] @edge
  input w[6] @shared
  output z[2] @receiver
values
  x0[2] x2 @sender  = x VIEW0
  y0[3] x1 @edge  = y VIEW1
  w0[2,3] x1 @shared  = w VIEW2
  z0[2] x1 @receiver  = z VIEW3
  p[2,3] x2 @edge
  r[2,3] x1 @edge
statements
  p[u,v] += x0[u] * y0[v]  @edge
    0:  +1 a0 b0
    1:  +1 a1 b0
  r[u,v] += p[u,v]  @edge  path 0
    0:  +0.5 a0  -1 a1
  z0[u] += w0[u,v] * r[u,v]  @edge  path 0
    0:  +1 a0 b0
)";

/// Views print as they like; the rest is fixed here.
std::string expected_text() {
    std::string text = example_text;
    for (int id = 0; id < 4; ++id) {
        const std::string mark = "VIEW" + std::to_string(id);
        text.replace(text.find(mark), mark.size(), to_string(example().values[id].binding->view));
    }
    return text;
}

/// A change to the example and a part of the message verify then gives.
struct Fault {
    const char* message;
    std::function<void(EdgeProgram&)> make;
};

const Fault faults[] = {
    {"two operands are called x", [](EdgeProgram& p) { p.operands[1].name = "x"; }},
    {"two values are called p", [](EdgeProgram& p) { p.values[5].name = "p"; }},
    {"negative width", [](EdgeProgram& p) { p.operands[0].width = -1; }},
    {"r has no components", [](EdgeProgram& p) { p.values[5].components = 0; }},
    {"p has an empty axis", [](EdgeProgram& p) { p.values[4].extents[0] = 0; }},
    {"p is not in an operand but has sender rows", [](EdgeProgram& p) { p.values[4].row = Row::sender; }},
    {"x0 is in no operand", [](EdgeProgram& p) { p.values[0].binding->operand = 4; }},
    {"x0 has other rows than x", [](EdgeProgram& p) { p.operands[0].row = Row::edge; }},
    {"x0 has other components than its view", [](EdgeProgram& p) { p.values[0].components = 3; }},
    {"x0 has other axes than its view", [](EdgeProgram& p) { p.values[0].extents.push_back(1); }},
    {"x0 has another extent than its view", [](EdgeProgram& p) { p.values[0].extents[0] = 1; }},
    {"x0 reaches beyond x", [](EdgeProgram& p) { p.operands[0].width = 3; }},
    {"x0 reaches beyond x", [](EdgeProgram& p) { p.values[0].binding->view.offset = 1; }},
    {"a use of no value", [](EdgeProgram& p) { p.statements[1].a.value = 6; }},
    {"p is used with labels [u]", [](EdgeProgram& p) { p.statements[1].a.labels = "u"; }},
    {"p is used with a label twice: [uu]", [](EdgeProgram& p) { p.statements[1].a.labels = "uu"; }},
    {"label u of y0 has two extents", [](EdgeProgram& p) { p.statements[0].b->labels = "u"; }},
    {"r has no component 1", [](EdgeProgram& p) { p.statements[1].entries[0].dst = 1; }},
    {"p has no component -1", [](EdgeProgram& p) { p.statements[1].entries[0].a = -1; }},
    {"r has no component 1", [](EdgeProgram& p) { p.statements[2].entries[0].b = 1; }},
    {"p is read before it is written", [](EdgeProgram& p) { std::swap(p.statements[0], p.statements[1]); }},
    {"p is written after it was read", [](EdgeProgram& p) { p.statements.push_back(p.statements[0]); }},
    {"y0 is written to an input", [](EdgeProgram& p) { p.statements[2].dst = {1, "v"}; }},
    {"z0 is read from an output", [](EdgeProgram& p) { p.statements.push_back({0, {5, "uv"}, {3, "u"}, {}, {{0, 0, 0, 1}}}); }},
    {"r is a sum over edges and read on edges: two sweeps",
     [](EdgeProgram& p) {
         p.values[5].row = Row::receiver;
         p.statements[2].b = Use{1, "v"};
         p.statements[2].a = {5, "uv"};
     }},
    {"late is a sum over edges and read on edges: two sweeps",
     [](EdgeProgram& p) {
         p.values[5].row = Row::receiver;
         p.values.push_back({"late", {2, 3}, 1, Row::receiver, std::nullopt});
         p.statements[2] = {0, {6, "uv"}, {5, "uv"}, std::nullopt, {{0, 0, 0, 1}}};
         p.statements.push_back({0, {3, "u"}, {6, "uv"}, Use{1, "v"}, {{0, 0, 0, 1}}});
     }},
};

}  // namespace

TEST_CASE("operands and values are found by name and know their role") {
    const EdgeProgram program = example();
    CHECK(program.find_operand("w") == 2);
    CHECK(program.find_operand("p") == -1);
    CHECK(program.find_value("p") == 4);
    CHECK(program.find_value("w") == -1);
    CHECK((program.is_input(0) && !program.is_output(0)));
    CHECK((!program.is_input(3) && program.is_output(3)));
    CHECK((!program.is_input(4) && !program.is_output(4)));
}

TEST_CASE("a statement runs over the coarsest rows that refine those of its values") {
    using enum Row;
    for (const Row row : {edge, sender, receiver, shared}) {
        CHECK(join(row, row) == row);
        CHECK(join(row, shared) == row);
        CHECK(join(shared, row) == row);
        CHECK(join(row, edge) == edge);
        CHECK(join(edge, row) == edge);
    }
    CHECK(join(sender, receiver) == edge);
    CHECK(join(receiver, sender) == edge);

    EdgeProgram program = example();
    CHECK(space_of(program, program.statements[0]) == edge);
    program.values[5].row = receiver;  // aggregated before the shared weight
    CHECK(space_of(program, program.statements[1]) == edge);
    CHECK(space_of(program, program.statements[2]) == receiver);
    CHECK_NOTHROW(verify(program));
}

TEST_CASE("axes that statements bind to one label are one loop") {
    const AxisClasses classes = axis_classes(example());
    CHECK(classes.of == std::vector<std::vector<int>>{{0}, {1}, {0, 1}, {0}, {0, 1}, {0, 1}});
    CHECK(classes.extent == std::vector<std::int64_t>{2, 3});
    CHECK(classes.name == std::vector<std::string>{"u", "v"});
}

TEST_CASE("labels join axes through values, and values no statement uses are in no loop") {
    EdgeProgram program = example();
    program.values.push_back({"unused", {7}, 1, Row::edge, std::nullopt});
    program.values.push_back({"t", {2}, 1, Row::edge, std::nullopt});
    // The same x with another letter: still the loop of x's channels.
    program.statements.push_back({0, {7, "k"}, {0, "k"}, std::nullopt, {{0, 0, 0, 1}}});
    const AxisClasses classes = axis_classes(program);
    CHECK(classes.of[6] == std::vector<int>{-1});
    CHECK(classes.of[7] == std::vector<int>{0});
    CHECK(classes.extent.size() == 2);
}

TEST_CASE("operations are counted by labels, entries and coefficients") {
    EdgeProgram program = example();
    OperationCount count = count_operations(program);
    CHECK(count.channel == 6 * 2 + 6 * 2 + 6 * 1);
    CHECK(count.once == 0);
    CHECK(count.lane_sums == 0);

    program.statements[2].entries[0].value = 3;  // three factors: one multiplication more
    CHECK(count_operations(program).channel == 36);

    // A sum over all channels into two components of one value, through two statements over the same loop.
    program.values.push_back({"t", {}, 2, Row::edge, std::nullopt});
    program.statements.push_back({0, {6, ""}, {0, "u"}, std::nullopt, {{0, 0, 0, 1}, {1, 1, 0, 1}}});
    program.statements.push_back({0, {6, ""}, {0, "u"}, std::nullopt, {{0, 1, 0, 1}}});
    CHECK(count_operations(program).lane_sums == 2);
    program.statements.push_back({0, {6, ""}, {1, "v"}, std::nullopt, {{0, 0, 0, 1}}});
    CHECK(count_operations(program).lane_sums == 3);

    program.values.push_back({"s", {}, 1, Row::edge, std::nullopt});
    program.statements.push_back({0, {7, ""}, {6, ""}, std::nullopt, {{0, 0, 0, 1}, {0, 1, 0, 1}}});
    CHECK(count_operations(program).once == 1);

    // A matrix product scales its smallest value: of w[u] = 0.5 h[k] W2[k,u] that is w.
    program = {};
    program.values = {{"h", {4}, 1, Row::edge, std::nullopt}, {"W2", {4, 3}, 1, Row::shared, std::nullopt}, {"w", {3}, 1, Row::edge, std::nullopt}};
    program.statements = {{0, {2, "u"}, {0, "k"}, Use{1, "ku"}, {{0, 0, 0, 1}}}};
    CHECK(count_operations(program).channel == 4 * 3);
    program.statements[0].entries[0].value = 0.5;
    CHECK(count_operations(program).channel == 4 * 3 + 3);

    // Work of a receiver is not work of an edge.
    program = example();
    program.values[5].row = Row::receiver;
    CHECK(count_operations(program).channel == 24);
}

TEST_CASE("programs print completely") { CHECK(to_string(example()) == expected_text()); }

TEST_CASE("programs that differ in anything are different and print differently") {
    const EdgeProgram program = example();
    CHECK(program == example());
    const std::function<void(EdgeProgram&)> changes[] = {
        [](EdgeProgram& p) { p.operands[0].row = Row::edge; },
        [](EdgeProgram& p) { p.values[4].name = "q"; },
        [](EdgeProgram& p) { p.values[0].binding->view.component_stride = 2; },
        [](EdgeProgram& p) { p.values[0].binding->operand = 1; },
        [](EdgeProgram& p) { p.statements[0].a.labels = "v"; },
        [](EdgeProgram& p) { p.statements[1].path = 1; },
        [](EdgeProgram& p) { p.statements[1].entries[0].value += 1e-16; },
        [](EdgeProgram& p) { p.statements[2].b.reset(); },
        [](EdgeProgram& p) { std::swap(p.statements[0], p.statements[1]); },
    };
    for (const auto& change : changes) {
        EdgeProgram changed = program;
        change(changed);
        CHECK_FALSE(changed == program);
        CHECK(to_string(changed) != to_string(program));
    }
}

TEST_CASE("verify accepts the example and names every fault") {
    CHECK_NOTHROW(verify(example()));
    for (const Fault& fault : faults) {
        EdgeProgram program = example();
        fault.make(program);
        std::string message = "(accepted)";
        try {
            verify(program);
        } catch (const InternalError& error) {
            message = error.what();
        }
        CHECK_MESSAGE(message.find(fault.message) != std::string::npos, fault.message, " is not in: ", message);
    }
}

TEST_CASE("evaluation gathers senders, sums receivers and broadcasts shared rows") {
    const Graph graph{3, 2, 2, {1, 0, 1}, {0, 0, 1}};
    const Tensors inputs{{"x", {1, 2, 3, 4, 10, 20, 30, 40}}, {"y", {1, 0, 0, 0, 1, 0, 1, 1, 1}}, {"w", {1, 2, 3, 4, 5, 6}}};
    // r[u,v] of an edge is y[v] (x_0[u] / 2 - x_1[u]): -15, -25 for sender 1 and -1.5, -2.5 for sender 0.
    const std::vector<double> z{-15 * 1 - 1.5 * 2, -25 * 4 - 2.5 * 5, -15 * 6, -25 * 15};
    CHECK(evaluate(example(), graph, inputs) == Tensors{{"z", z}});

    EdgeProgram aggregated = example();
    aggregated.values[5].row = Row::receiver;
    CHECK(evaluate(aggregated, graph, inputs) == Tensors{{"z", z}});
}

TEST_CASE("evaluation sums over rows into shared operands and works without maps, edges or statements") {
    EdgeProgram program;
    program.operands = {{"a", 2, Row::edge, Role::input}, {"s", 3, Row::shared, Role::output}};
    program.values = {{"a0", {2}, 1, Row::edge, Binding{0, view_of(0, {{2, 1}}, 1)}},
                      {"s0", {}, 1, Row::shared, Binding{1, view_of(1, {}, 1)}},
                      {"s1", {2}, 1, Row::shared, Binding{1, view_of(1, {{2, 1}}, 1)}}};
    program.statements = {{0, {1, ""}, {0, "u"}, std::nullopt, {{0, 0, 0, 2}}},
                          {0, {2, "q"}, {0, "u"}, std::nullopt, {{0, 0, 0, 1}}}};
    verify(program);
    const Graph batch{2, 2, 2, {}, {}};
    const Tensors inputs{{"a", {1, 2, 3, 4}}};
    // s1 has a label that its source lacks: the sum goes to each of its channels. Views may overlap; then they add up.
    CHECK(evaluate(program, batch, inputs) == Tensors{{"s", {0, 30, 10}}});
    CHECK(evaluate(program, Graph{}, Tensors{{"a", {}}}) == Tensors{{"s", {0, 0, 0}}});
    program.statements.clear();
    CHECK(evaluate(program, batch, inputs) == Tensors{{"s", {0, 0, 0}}});
}

TEST_CASE("evaluation refuses missing tensors and tensors of another size") {
    CHECK_THROWS_AS(evaluate(example(), Graph{}, Tensors{}), InternalError);
    CHECK_THROWS_AS(evaluate(example(), Graph{}, Tensors{{"x", {}}, {"y", {}}, {"w", {1}}}), InternalError);
}
