#include "compiler/expand_paths.hpp"

#include <cmath>
#include <random>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include "compiler/couplings.hpp"
#include "ir/error.hpp"
#include "ir/evaluate.hpp"
#include "tests/support/mode_problem.hpp"
#include "tests/support/random_problem.hpp"

using namespace flashtp;
using namespace flashtp::test;

namespace {

/// One product of channels: x channel u and y channel v go to output channel z with weight w of the block.
struct ChannelProduct {
    std::int64_t u, v, z, w;
};

/// The definition of the modes as e3nn documents them, channel by channel: no labels, no views.
std::vector<ChannelProduct> channel_products(ConnectionMode mode, std::int64_t m1, std::int64_t m2, std::int64_t m3) {
    std::vector<ChannelProduct> all;
    std::int64_t q = 0;
    for (std::int64_t u = 0; u < m1; ++u) {
        for (std::int64_t v = 0; v < m2; ++v) {
            const auto to_every_output = [&](std::int64_t block) {
                for (std::int64_t w = 0; w < m3; ++w) all.push_back({u, v, w, block * m3 + w});
            };
            switch (mode) {
            case ConnectionMode::uvw: to_every_output(u * m2 + v); break;
            case ConnectionMode::uvu: all.push_back({u, v, u, u * m2 + v}); break;
            case ConnectionMode::uvv: all.push_back({u, v, v, u * m2 + v}); break;
            case ConnectionMode::uuw:
                if (u == v) to_every_output(u);
                break;
            case ConnectionMode::uuu:
                if (u == v) all.push_back({u, v, u, u});
                break;
            case ConnectionMode::uvuv: all.push_back({u, v, u * m2 + v, u * m2 + v}); break;
            case ConnectionMode::uvu_lt_v:
                if (u < v) all.push_back({u, v, q, q}), ++q;
                break;
            case ConnectionMode::u_lt_vw:
                if (u < v) to_every_output(q++);
                break;
            }
        }
    }
    return all;
}

/// One segment of one row, read by channel and component.
struct Fibres {
    std::int64_t offset, channel_stride, component_stride;

    Fibres(const Irreps& irreps, int segment, Layout layout) : offset(irreps.offset(static_cast<std::size_t>(segment))) {
        const MulIrrep& part = irreps[static_cast<std::size_t>(segment)];
        channel_stride = layout == Layout::mul_ir ? part.irrep.dim() : 1;
        component_stride = layout == Layout::mul_ir ? 1 : part.multiplicity;
    }
    std::size_t at(std::int64_t row, std::int64_t channel, int component) const {
        return static_cast<std::size_t>(row + offset + channel * channel_stride + component * component_stride);
    }
};

std::vector<double> tensor(const Tensors& tensors, const std::string& name) {
    const auto found = tensors.find(name);
    return found == tensors.end() ? std::vector<double>{} : found->second;
}

/// The tensor product of e3nn, straight from its definition.
OracleTensor by_definition(const Problem& p, const Graph& graph, const Tensors& tensors) {
    const std::int64_t width1 = p.irreps_in1.dim(), width2 = p.irreps_in2.dim(), width3 = p.irreps_out.dim();
    const std::vector<double> x = tensor(tensors, "x"), y = tensor(tensors, "y"), weights = tensor(tensors, "w");
    const std::vector<double> factors = path_coefficients(p);
    const std::size_t size = static_cast<std::size_t>(graph.rows(p.convolution ? Row::receiver : Row::edge) * width3);
    OracleTensor z{std::vector<double>(size), std::vector<double>(size), std::vector<std::int64_t>(size)};

    std::int64_t block = 0;
    for (std::size_t n = 0; n < p.instructions.size(); ++n) {
        const Instruction& instruction = p.instructions[n];
        const Fibres fx(p.irreps_in1, instruction.in1, p.layout_in1), fy(p.irreps_in2, instruction.in2, p.layout_in2);
        const Fibres fz(p.irreps_out, instruction.out, p.layout_out);
        const MulIrrep &part1 = p.irreps_in1[instruction.in1], &part2 = p.irreps_in2[instruction.in2];
        const MulIrrep& part3 = p.irreps_out[instruction.out];
        const auto coupling = wigner_3j(part1.irrep.l, part2.irrep.l, part3.irrep.l);
        const auto products = channel_products(instruction.mode, part1.multiplicity, part2.multiplicity, part3.multiplicity);
        for (std::int64_t edge = 0; edge < graph.edges && factors[n] != 0; ++edge) {
            const std::int64_t row1 = (p.convolution ? graph.sender[edge] : edge) * width1, row2 = edge * width2;
            const std::int64_t row3 = (p.convolution ? graph.receiver[edge] : edge) * width3;
            const std::int64_t row_w = p.shared_weights ? 0 : edge * weight_numel(p);
            for (const ChannelProduct& c : products) {
                const double w = instruction.weighted ? weights[static_cast<std::size_t>(row_w + block + c.w)] : 1;
                for (const Coupling3j& e : coupling) {
                    const double term = factors[n] * e.value * w * x[fx.at(row1, c.u, e.i)] * y[fy.at(row2, c.v, e.j)];
                    const std::size_t position = fz.at(row3, c.z, e.k);
                    z.value[position] += term;
                    z.magnitude[position] += std::fabs(term);
                    ++z.terms[position];
                }
            }
        }
        if (!instruction.weighted) continue;
        std::int64_t weights_of_path = 1;
        for (const std::int64_t extent : path_shape(p, instruction)) weights_of_path *= extent;
        block += weights_of_path;
    }
    return z;
}

/// The oracle on the expanded program equals the definition: values, magnitudes and numbers of terms.
void check_against_definition(const Problem& problem, std::mt19937_64& rng) {
    const PathProgram program = expand_paths(problem);
    const Graph graph = random_graph(rng, problem);
    const Tensors tensors = random_tensors(program.operands, graph, rng, problem.dtype);
    const OracleTensor oracle = evaluate(program, graph, tensors).at("z"), expected = by_definition(problem, graph, tensors);

    CHECK(oracle.terms == expected.terms);
    REQUIRE(oracle.value.size() == expected.value.size());
    std::size_t wrong = 0;
    for (std::size_t n = 0; n < oracle.value.size(); ++n) {
        const double bound = error_bound(epsilon(DType::float64), oracle.terms[n], oracle.magnitude[n]);
        const bool close = std::fabs(oracle.value[n] - expected.value[n]) <= bound &&
                           std::fabs(oracle.magnitude[n] - expected.magnitude[n]) <= bound;
        if (!close) ++wrong;
    }
    CHECK(wrong == 0);
}

Problem small_problem(ConnectionMode mode, std::int64_t m1, std::int64_t m2, std::int64_t m3, bool weighted = true) {
    Problem problem;
    problem.irreps_in1 = Irreps(std::vector{MulIrrep{m1, {1, -1}}});
    problem.irreps_in2 = Irreps(std::vector{MulIrrep{m2, {1, -1}}});
    problem.irreps_out = Irreps(std::vector{MulIrrep{m3, {2, 1}}});
    problem.instructions = {{0, 0, 0, mode, weighted, 1.0}};
    return problem;
}

}  // namespace

TEST_CASE("every mode, weighted or not, shared or not, plain or convolution, equals its definition") {
    std::mt19937_64 rng(11);
    for (ModeProblem what : all_mode_problems(2)) {
        INFO(to_string(what));
        check_against_definition(mode_problem(what), rng);
        what.in1 = 2;  // the one pair of a triangular mode is no axis
        what.in2 = what.out = 1;
        check_against_definition(mode_problem(what), rng);
    }
}

TEST_CASE("every layout equals its definition") {
    std::mt19937_64 rng(12);
    for (const ModeProblem& what : all_mode_problems(1)) {
        for (int choice = 1; choice < 8; ++choice) {
            INFO(to_string(what) << ", layouts " << choice);
            Problem problem = mode_problem(what);
            problem.layout_in1 = choice & 1 ? Layout::ir_mul : Layout::mul_ir;
            problem.layout_in2 = choice & 2 ? Layout::ir_mul : Layout::mul_ir;
            problem.layout_out = choice & 4 ? Layout::ir_mul : Layout::mul_ir;
            check_against_definition(problem, rng);
        }
    }
}

TEST_CASE("random problems equal their definition") {
    for (std::uint64_t seed = 0; seed < 200; ++seed) {
        std::mt19937_64 rng(seed);
        const Problem problem = random_problem(rng);
        INFO("seed " << seed << ": " << to_json(problem));
        check_against_definition(problem, rng);
    }
}

TEST_CASE("degree 8 equals its definition") {
    std::mt19937_64 rng(13);
    Problem problem = small_problem(ConnectionMode::uvu, 2, 1, 2);
    problem.irreps_in1 = Irreps::parse("2x8e");
    problem.irreps_in2 = Irreps::parse("1x8o");
    problem.irreps_out = Irreps::parse("2x8o");
    check_against_definition(problem, rng);
}

TEST_CASE("operands and their rows") {
    Problem problem = small_problem(ConnectionMode::uvu, 4, 1, 4);
    const std::vector<Operand> convolution{{"x", 12, Row::sender, Role::input},
                                           {"y", 3, Row::edge, Role::input},
                                           {"w", 4, Row::edge, Role::input},
                                           {"z", 20, Row::receiver, Role::output}};
    CHECK(expand_paths(problem).operands == convolution);

    problem.convolution = false;
    problem.shared_weights = true;
    const std::vector<Operand> plain{{"x", 12, Row::edge, Role::input},
                                     {"y", 3, Row::edge, Role::input},
                                     {"w", 4, Row::shared, Role::input},
                                     {"z", 20, Row::edge, Role::output}};
    CHECK(expand_paths(problem).operands == plain);

    problem.instructions[0].weighted = false;
    const PathProgram unweighted = expand_paths(problem);
    CHECK(unweighted.find("w") == -1);
    CHECK_FALSE(unweighted.paths[0].views[slot_w].has_value());
    CHECK(unweighted.terms[0].operand == BySlot<int>{0, 1, -1, 2, -1});
}

TEST_CASE("an axis of extent 1 has no label") {
    const Path path = expand_paths(small_problem(ConnectionMode::uvu, 4, 1, 4)).paths[0];
    CHECK(path.labels == BySlot<std::string>{"u", "", "u", "u"});
    CHECK(path.views[slot_y]->axes.empty());
    const Path none = expand_paths(small_problem(ConnectionMode::uvuv, 1, 1, 1)).paths[0];
    CHECK(none.labels == BySlot<std::string>{"", "", "", ""});
}

TEST_CASE("views of layouts, of uvuv and of pairs") {
    const Path product = expand_paths(small_problem(ConnectionMode::uvuv, 3, 2, 6)).paths[0];
    CHECK(product.labels == BySlot<std::string>{"u", "v", "uv", "uv"});
    CHECK(*product.views[slot_z] == View{0, {{3, 10}, {2, 5}}, 5, 1, {}});
    CHECK(*product.views[slot_w] == View{0, {{3, 2}, {2, 1}}, 1, 1, {}});

    Problem swapped = small_problem(ConnectionMode::uvuv, 3, 2, 6);
    swapped.layout_out = Layout::ir_mul;
    CHECK(*expand_paths(swapped).paths[0].views[slot_z] == View{0, {{3, 2}, {2, 1}}, 5, 6, {}});

    const Path pairs = expand_paths(small_problem(ConnectionMode::uvu_lt_v, 4, 4, 6)).paths[0];
    CHECK(*pairs.views[slot_x] == View{0, {{6, 3}}, 3, 1, PairAxis{4, false}});
    CHECK(*pairs.views[slot_y] == View{0, {{6, 3}}, 3, 1, PairAxis{4, true}});
    const Path one_pair = expand_paths(small_problem(ConnectionMode::uvu_lt_v, 2, 2, 1)).paths[0];
    CHECK(*one_pair.views[slot_x] == View{0, {}, 3, 1, {}});
    CHECK(*one_pair.views[slot_y] == View{3, {}, 3, 1, {}});
}

TEST_CASE("paths that contribute nothing disappear, their weights keep their places") {
    Problem problem = small_problem(ConnectionMode::uvu, 4, 1, 4);
    problem.instructions.push_back(problem.instructions[0]);
    problem.instructions.push_back(problem.instructions[0]);
    problem.instructions[1].path_weight = 0;
    const PathProgram program = expand_paths(problem);
    REQUIRE(program.paths.size() == 2);
    CHECK(program.operands[static_cast<std::size_t>(program.find("w"))].width == 12);
    CHECK(program.paths[1].instruction == 2);
    CHECK(program.paths[1].views[slot_w]->offset == 8);

    const PathProgram empty = expand_paths(small_problem(ConnectionMode::uvw, 4, 0, 4));
    CHECK(empty.paths.empty());
    CHECK(empty.terms.empty());
    CHECK(empty.find("w") == -1);  // weighted, but without any weight
}

TEST_CASE("the coefficient of a path is inside its coefficients") {
    Problem problem = small_problem(ConnectionMode::uvu, 4, 1, 4);
    problem.instructions[0].path_weight = 4;  // a variance: the coefficient doubles
    const PathProgram program = expand_paths(problem);
    double square = 0;
    for (const Coefficient& c : program.paths[0].coefficients) square += c.value * c.value;
    CHECK(std::fabs(square - 4 * 5) < 1e-13);  // times 2 l3 + 1 of the component normalisation
}

TEST_CASE("an invalid problem is the user's error") {
    Problem problem = small_problem(ConnectionMode::uvu, 4, 1, 3);
    CHECK_THROWS_AS(expand_paths(problem), UserError);
}
