// The oracle against what it must be: its derivatives against differences of its own lower orders (exact, because every function
// is multilinear), equivariance, and the meaning of absent cotangents and of subsets of outputs.
#include "ir/evaluate.hpp"

#include <algorithm>
#include <cmath>
#include <random>
#include <string>

#include <doctest/doctest.h>

#include "compiler/expand_paths.hpp"
#include "ir/error.hpp"
#include "tests/support/mode_problem.hpp"
#include "tests/support/random_problem.hpp"
#include "tests/support/rotation.hpp"

using namespace flashtp;
using namespace flashtp::test;

namespace {

constexpr double eps = epsilon(DType::float64);

/// A number and the sum of the absolute values it was summed from.
struct Scalar {
    double value = 0, magnitude = 0;
};

void add_product(Scalar& sum, const OracleTensor& a, const std::vector<double>& b) {
    REQUIRE(a.value.size() == b.size());
    for (std::size_t n = 0; n < b.size(); ++n) {
        sum.value += a.value[n] * b[n];
        sum.magnitude += a.magnitude[n] * std::fabs(b[n]);
    }
}

/// Name of the cotangent of an output of the given order, as an input of the next order.
std::string cotangent_of(int order, const std::string& output) {
    return order == 1 ? "t_" + output.substr(2) : "d_" + output;  // d_x -> t_x; z -> d_z; t_d_x -> d_t_d_x
}

/// Name of the gradient in an input of the given order, as an output of the next order.
std::string gradient_in(int order, const std::string& input) {
    if (order != 1) return "d_" + input;
    return input == "d_z" ? "t_z" : "t_d_" + input;
}

/// The scalar whose gradient the next order computes: outputs times their cotangents.
Scalar contracted(const PathProgram& program, int order, const Graph& graph, const Tensors& tensors) {
    Scalar sum;
    for (const auto& [name, output] : evaluate(program, graph, tensors))
        add_product(sum, output, tensors.at(cotangent_of(order, name)));
    return sum;
}

std::vector<double> random_like(const std::vector<double>& tensor, std::mt19937_64& rng) {
    std::vector<double> result;
    for (std::size_t n = 0; n < tensor.size(); ++n) result.push_back(draw_value(rng));
    return result;
}

std::vector<double> sum_of(const std::vector<double>& a, const std::vector<double>& b, double factor) {
    std::vector<double> result = a;
    for (std::size_t n = 0; n < a.size(); ++n) result[n] += factor * b[n];
    return result;
}

/// Every gradient of order + 1 against central differences of order, along one random direction an input.
void check_gradient(const PathProgram& forward, int order, const Graph& graph, std::mt19937_64& rng) {
    const PathProgram lower = derivative(forward, {order, {}, {}}), upper = derivative(forward, {order + 1, {}, {}});
    const Tensors tensors = random_tensors(upper.operands, graph, rng, DType::float64);
    const auto gradients = evaluate(upper, graph, tensors);
    for (const Operand& input : lower.operands) {
        if (input.role != Role::input) continue;
        INFO("order " << order + 1 << ", gradient in " << input.name);
        const std::vector<double> direction = random_like(tensors.at(input.name), rng);
        Tensors ahead = tensors, behind = tensors;
        ahead[input.name] = sum_of(tensors.at(input.name), direction, 1);
        behind[input.name] = sum_of(tensors.at(input.name), direction, -1);
        const Scalar plus = contracted(lower, order, graph, ahead), minus = contracted(lower, order, graph, behind);

        Scalar expected;
        add_product(expected, gradients.at(gradient_in(order, input.name)), direction);
        const double difference = (plus.value - minus.value) / 2;
        CHECK(std::fabs(difference - expected.value) <= 32 * eps * (plus.magnitude + minus.magnitude + expected.magnitude));
    }
}

double largest(const std::vector<double>& values) {
    double result = 0;
    for (const double value : values) result = std::max(result, std::fabs(value));
    return result;
}

void check_close(const std::vector<double>& a, const std::vector<double>& b, double tolerance) {
    REQUIRE(a.size() == b.size());
    double worst = 0;
    for (std::size_t n = 0; n < a.size(); ++n) worst = std::max(worst, std::fabs(a[n] - b[n]));
    CHECK(worst <= tolerance);
}

Motion random_motion(std::mt19937_64& rng, bool inversion) {
    return {{3 * draw_value(rng), 3 * draw_value(rng), 3 * draw_value(rng)}, inversion};
}

/// Moving x, y and d_z moves z, d_x and d_y and leaves d_w.
void check_equivariance(const Problem& problem, const Graph& graph, const Motion& motion, std::mt19937_64& rng) {
    const PathProgram forward = expand_paths(problem), backward = derivative(forward, {1, {}, {}});
    const auto move = [&](const std::string& name, const std::vector<double>& tensor) {
        switch (name.back()) {
        case 'x': return moved(tensor, problem.irreps_in1, problem.layout_in1, motion);
        case 'y': return moved(tensor, problem.irreps_in2, problem.layout_in2, motion);
        case 'z': return moved(tensor, problem.irreps_out, problem.layout_out, motion);
        default: return tensor;
        }
    };
    const Tensors tensors = random_tensors(backward.operands, graph, rng, DType::float64);
    Tensors moved_tensors;
    for (const auto& [name, tensor] : tensors) moved_tensors[name] = move(name, tensor);
    for (const PathProgram* program : {&forward, &backward}) {
        const auto before = evaluate(*program, graph, tensors), after = evaluate(*program, graph, moved_tensors);
        for (const auto& [name, output] : before) {
            INFO(name);
            check_close(after.at(name).value, move(name, output.value), 1e-13 * (largest(output.magnitude) + 1));
        }
    }
}

}  // namespace

TEST_CASE("gradients of orders 1 to 3 are differences of the order below, for every mode") {
    std::mt19937_64 rng(21);
    for (ModeProblem what : all_mode_problems(1)) {
        INFO(to_string(what));
        const Problem problem = mode_problem(what);
        const PathProgram forward = expand_paths(problem);
        const Graph graph = random_graph(rng, problem, {5, 3, 4, false});
        for (int order = 0; order < 3; ++order) check_gradient(forward, order, graph, rng);
    }
}

TEST_CASE("gradients of orders 1 to 3 are differences of the order below, for random problems") {
    RandomOptions options;
    options.max_products = 3'000;
    for (std::uint64_t seed = 0; seed < 60; ++seed) {
        std::mt19937_64 rng(seed);
        const Problem problem = random_problem(rng, options);
        INFO("seed " << seed << ": " << to_json(problem));
        const PathProgram forward = expand_paths(problem);
        const Graph graph = random_graph(rng, problem, {4, 3, 3, draw_bool(rng)});
        for (int order = 0; order < 3; ++order) check_gradient(forward, order, graph, rng);
    }
}

TEST_CASE("rotations of degree 1 rotate x, y, z; those of higher degree are orthogonal and compose") {
    const double angle = 0.7;
    const std::vector<double> about_y = rotation_matrix(1, {0, angle, 0});
    const double c = std::cos(angle), s = std::sin(angle);
    check_close(about_y, {c, 0, s, 0, 1, 0, -s, 0, c}, 1e-14);
    check_close(rotation_matrix(1, {angle, 0, 0}), {1, 0, 0, 0, c, -s, 0, s, c}, 1e-14);
    check_close(rotation_matrix(1, {0, 0, angle}), {c, -s, 0, s, c, 0, 0, 0, 1}, 1e-14);
    for (int l = 2; l <= 8; ++l) {
        const std::vector<double> there = rotation_matrix(l, {0.3, -1.1, 0.5}), back = rotation_matrix(l, {-0.3, 1.1, -0.5});
        const int dim = 2 * l + 1;
        for (int i = 0; i < dim; ++i) {
            for (int j = 0; j < dim; ++j)
                CHECK(std::fabs(there[static_cast<std::size_t>(i * dim + j)] - back[static_cast<std::size_t>(j * dim + i)]) <
                      1e-13);
        }
    }
}

TEST_CASE("equivariance under rotations and the inversion, for every mode and degrees up to 4") {
    std::mt19937_64 rng(22);
    for (ModeProblem what : all_mode_problems(4)) {
        if (what.shared_weights) continue;  // rows of weights do not matter here
        what.in1 = 2;
        INFO(to_string(what));
        const Problem problem = mode_problem(what);
        const Graph graph = random_graph(rng, problem, {2, 2, 2, true});
        check_equivariance(problem, graph, random_motion(rng, false), rng);
        check_equivariance(problem, graph, {{}, true}, rng);
    }
}

TEST_CASE("equivariance of random problems, in every layout") {
    for (std::uint64_t seed = 100; seed < 160; ++seed) {
        std::mt19937_64 rng(seed);
        const Problem problem = random_problem(rng);
        INFO("seed " << seed << ": " << to_json(problem));
        check_equivariance(problem, random_graph(rng, problem), random_motion(rng, draw_bool(rng)), rng);
    }
}

TEST_CASE("equivariance at degree 8") {
    std::mt19937_64 rng(23);
    Problem problem;
    problem.irreps_in1 = Irreps::parse("2x8e");
    problem.irreps_in2 = Irreps::parse("8o+7e");
    problem.irreps_out = Irreps::parse("2x8o+2x5e");
    problem.instructions = {{0, 0, 0, ConnectionMode::uvu, true, 1.0}, {0, 1, 1, ConnectionMode::uvu, true, 1.0}};
    check_equivariance(problem, random_graph(rng, problem), random_motion(rng, true), rng);
}

TEST_CASE("an absent cotangent is one that is zero") {
    for (std::uint64_t seed = 200; seed < 230; ++seed) {
        std::mt19937_64 rng(seed);
        RandomOptions options;
        options.max_products = 2'000;
        const Problem problem = random_problem(rng, options);
        const PathProgram forward = expand_paths(problem);
        const Graph graph = random_graph(rng, problem);
        for (const int order : {2, 3}) {
            Request request{order, {}, {}};
            for (const std::string& name : cotangents_of_order(order)) {
                if (draw_bool(rng)) request.absent.push_back(name);
            }
            INFO("seed " << seed << ", " << to_string(request) << ": " << to_json(problem));
            const PathProgram whole = derivative(forward, {order, {}, {}}), smaller = derivative(forward, request);
            Tensors tensors = random_tensors(whole.operands, graph, rng, DType::float64);
            for (const std::string& name : request.absent) std::ranges::fill(tensors[name], 0.0);
            const auto expected = evaluate(whole, graph, tensors);
            for (const std::string& name : request.absent) tensors.erase(name);  // nothing may read them
            const auto actual = evaluate(smaller, graph, tensors);
            REQUIRE(actual.size() == expected.size());
            for (const auto& [name, output] : expected) {
                CHECK(actual.at(name).value == output.value);
                CHECK(actual.at(name).magnitude == output.magnitude);
            }
        }
    }
}

TEST_CASE("a subset of the outputs is a part of the whole result") {
    for (std::uint64_t seed = 300; seed < 330; ++seed) {
        std::mt19937_64 rng(seed);
        RandomOptions options;
        options.max_products = 2'000;
        options.weighted = true;
        const Problem problem = random_problem(rng, options);
        const PathProgram forward = expand_paths(problem);
        if (forward.find("w") < 0) continue;  // weighted paths of zero multiplicity only
        const Graph graph = random_graph(rng, problem);
        for (int order = 1; order <= 3; ++order) {
            Request request{order, {}, {}};
            for (const std::string& name : outputs_of_order(order)) {
                if (draw_bool(rng)) request.outputs.push_back(name);
            }
            if (request.outputs.empty()) continue;
            INFO("seed " << seed << ", " << to_string(request) << ": " << to_json(problem));
            const PathProgram whole = derivative(forward, {order, {}, {}});
            const Tensors tensors = random_tensors(whole.operands, graph, rng, DType::float64);
            const auto all = evaluate(whole, graph, tensors), some = evaluate(derivative(forward, request), graph, tensors);
            REQUIRE(some.size() == request.outputs.size());
            for (const auto& [name, output] : some) {
                CHECK(output.value == all.at(name).value);
                CHECK(output.terms == all.at(name).terms);
            }
        }
    }
}

TEST_CASE("without edges every output is zero; without nodes it is empty") {
    ModeProblem what;
    what.shared_weights = true;
    const PathProgram backward = derivative(expand_paths(mode_problem(what)), {1, {}, {}});
    std::mt19937_64 rng(24);
    for (const std::int64_t nodes : {0, 3}) {
        const Graph graph{0, nodes, nodes, {}, {}};
        const auto result = evaluate(backward, graph, random_tensors(backward.operands, graph, rng, DType::float64));
        CHECK(result.at("d_x").value == std::vector<double>(static_cast<std::size_t>(nodes * backward.operands[0].width), 0.0));
        CHECK(result.at("d_w").value == std::vector<double>(static_cast<std::size_t>(backward.operands[2].width), 0.0));
        CHECK(result.at("d_y").value.empty());
    }
}

TEST_CASE("missing and misshapen tensors and row maps out of range are refused") {
    std::mt19937_64 rng(25);
    const Problem problem = mode_problem({});
    const PathProgram forward = expand_paths(problem);
    const Graph graph = random_graph(rng, problem);
    Tensors tensors = random_tensors(forward.operands, graph, rng, DType::float64);
    Tensors without = tensors;
    without.erase("y");
    CHECK_THROWS_AS(evaluate(forward, graph, without), InternalError);
    Tensors misshapen = tensors;
    misshapen["y"].pop_back();
    CHECK_THROWS_AS(evaluate(forward, graph, misshapen), InternalError);
    Graph wrong = graph;
    wrong.sender[0] = static_cast<std::int32_t>(graph.senders);
    CHECK_THROWS_AS(evaluate(forward, wrong, tensors), InternalError);
    wrong = graph;
    wrong.receiver.pop_back();
    CHECK_THROWS_AS(evaluate(forward, wrong, tensors), InternalError);
}

TEST_CASE("sums are compensated: cancelling large terms leaves the small one") {
    Problem problem;
    problem.irreps_in1 = Irreps::parse("3x0e");
    problem.irreps_in2 = Irreps::parse("0e");
    problem.irreps_out = Irreps::parse("0e");
    problem.instructions = {{0, 0, 0, ConnectionMode::uvw, true, 3.0}};  // 3 / fan-in 3: the coefficient is 1
    problem.convolution = false;
    const Graph graph{1, 1, 1, {}, {}};
    const auto z = evaluate(expand_paths(problem), graph, {{"x", {1e17, 1, -1e17}}, {"y", {1}}, {"w", {1, 1, 1}}}).at("z");
    CHECK(z.value[0] == 1);
    CHECK(z.magnitude[0] == 2e17);
    CHECK(z.terms[0] == 3);
    CHECK(error_bound(eps, 4, 3) == 48 * eps);
}
