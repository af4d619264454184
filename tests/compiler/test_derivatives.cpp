// EdgeProgram against the oracle, which differentiates and evaluates the unfactored algebra on its own.
#include <random>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include "compiler/derivative.hpp"
#include "compiler/expand_paths.hpp"
#include "compiler/factor.hpp"
#include "compiler/keep_outputs.hpp"
#include "compiler/linearize.hpp"
#include "compiler/reverse.hpp"
#include "ir/connection_modes.hpp"
#include "ir/error.hpp"
#include "tests/support/deviation.hpp"
#include "tests/support/every_triple.hpp"
#include "tests/support/random_problem.hpp"

using namespace flashtp;
using namespace flashtp::test;

namespace {

constexpr Factoring factorings[] = {Factoring::merged, Factoring::products, Factoring::coefficients, Factoring::weights_first};

/// A problem with a graph and tensors for everything any request up to order 3 reads.
struct Experiment {
    Problem problem;
    PathProgram paths;
    Graph graph;
    Tensors tensors;
};

Experiment make_experiment(const Problem& problem, std::uint64_t seed, const GraphOptions& options = {}) {
    std::mt19937_64 rng(seed);
    Experiment e{problem, expand_paths(problem), random_graph(rng, problem, options), {}};
    for (int order = 0; order <= 3; ++order) {
        e.tensors.merge(random_tensors(derivative(e.paths, Request{order, {}, {}}).operands, e.graph, rng, DType::float64));
    }
    return e;
}

Deviation deviation_of(const Experiment& e, const EdgeProgram& program, const PathProgram& reference) {
    verify(program);
    return deviation(evaluate(reference, e.graph, e.tensors), evaluate(program, e.graph, e.tensors), epsilon(DType::float64));
}

/// Every factoring of the request; returns the worst.
Deviation worst_deviation(const Experiment& e, const Request& request) {
    const auto expected = evaluate(derivative(e.paths, request), e.graph, e.tensors);
    Deviation worst;
    for (const Factoring factoring : factorings) {
        const EdgeProgram program = derivative(factor(e.paths, factoring, request.order), request);
        verify(program);
        Deviation here = deviation(expected, evaluate(program, e.graph, e.tensors), epsilon(DType::float64));
        if (here.ratio <= worst.ratio) continue;
        here.where += fmt::format(", {}, {}", to_string(factoring), to_string(request));
        worst = std::move(here);
    }
    return worst;
}

void check_all_orders(const Experiment& e) {
    for (int order = 0; order <= 3; ++order) {
        const Deviation worst = worst_deviation(e, Request{order, {}, {}});
        CHECK_MESSAGE(worst.ratio <= 1, worst.ratio, " times the bound at ", worst.where, " of ", to_json(e.problem));
    }
}

std::vector<bool> legal_weightings(const ConnectionModeRow& row) {
    return row.must_be_weighted ? std::vector{true} : std::vector{true, false};
}

template <class Visit>
void for_each_rows(Problem problem, Visit visit) {
    for (const bool shared : {false, true}) {
        for (const bool convolution : {false, true}) {
            problem.shared_weights = shared;
            problem.convolution = convolution;
            visit(problem);
        }
    }
}

template <class Visit>
void for_each_normalization(Problem problem, Visit visit) {
    for (const auto irrep : {IrrepNormalization::component, IrrepNormalization::norm, IrrepNormalization::none}) {
        for (const auto path : {PathNormalization::element, PathNormalization::path, PathNormalization::none}) {
            problem.irrep_normalization = irrep;
            problem.path_normalization = path;
            visit(problem);
        }
    }
}

const GraphOptions small_graph{.edges = 3, .senders = 2, .receivers = 3, .sorted = false};

/// The subset of `names` whose bits are set.
std::vector<std::string> subset(const std::vector<std::string>& names, unsigned bits) {
    std::vector<std::string> chosen;
    for (std::size_t n = 0; n < names.size(); ++n) {
        if (bits >> n & 1) chosen.push_back(names[n]);
    }
    return chosen;
}

Problem uvu_problem(bool shared_weights) {
    Problem problem = every_triple(ConnectionMode::uvu, true, 1);
    problem.shared_weights = shared_weights;
    return problem;
}

void check_absent_cotangents(int order) {
    const Experiment e = make_experiment(uvu_problem(false), 5, small_graph);
    const EdgeProgram forward = factor(e.paths, Factoring::products);
    const OperationCount whole = count_operations(derivative(forward, Request{order, {}, {}}));
    const auto cotangents = cotangents_of_order(order);
    for (unsigned bits = 1; bits < 1u << cotangents.size(); ++bits) {
        const Request request{order, {}, subset(cotangents, bits)};
        const Deviation worst = worst_deviation(e, request);
        CHECK_MESSAGE(worst.ratio <= 1, worst.ratio, " times the bound at ", worst.where);
        const EdgeProgram program = derivative(forward, request);
        for (const std::string& name : request.absent) CHECK(program.find_operand(name) < 0);
        CHECK(count_operations(program).channel < whole.channel);
    }
}

void check_outputs(int order) {
    for (const bool shared : {false, true}) {
        const Experiment e = make_experiment(uvu_problem(shared), 6, small_graph);
        const auto outputs = outputs_of_order(order);
        for (unsigned bits = 1; bits < 1u << outputs.size(); ++bits) {
            const Deviation worst = worst_deviation(e, Request{order, subset(outputs, bits), {}});
            CHECK_MESSAGE(worst.ratio <= 1, worst.ratio, " times the bound at ", worst.where);
        }
    }
}

}  // namespace

TEST_CASE("every mode, weighting, row map, order and factoring agrees with the oracle (degrees up to 1)") {
    for (const ConnectionModeRow& row : connection_modes()) {
        for (const bool weighted : legal_weightings(row)) {
            for_each_rows(every_triple(row.mode, weighted, 1),
                          [](const Problem& p) { check_all_orders(make_experiment(p, 1, small_graph)); });
        }
    }
}

TEST_SUITE("slow exhaustive") {
    TEST_CASE("every mode, weighting, normalisation, row map, order and factoring agrees with the oracle") {
        for (const ConnectionModeRow& row : connection_modes()) {
            for (const bool weighted : legal_weightings(row)) {
                for_each_normalization(every_triple(row.mode, weighted, 3), [](const Problem& normalized) {
                    for_each_rows(normalized, [](const Problem& p) { check_all_orders(make_experiment(p, 2, small_graph)); });
                });
            }
        }
    }

    TEST_CASE("every subset of absent cotangents and of outputs agrees with the oracle at order 3") {
        check_absent_cotangents(3);
        check_outputs(3);
    }

    TEST_CASE("random problems agree with the oracle") {
        constexpr std::uint64_t first_seed = 1000;
        RandomOptions options;
        options.max_products = 3000;
        for (std::uint64_t seed = first_seed; seed < first_seed + 500; ++seed) {
            CAPTURE(seed);
            std::mt19937_64 rng(seed);
            const Problem problem = random_problem(rng, options);
            const GraphOptions graph{
                .edges = draw(rng, 6), .senders = 1 + draw(rng, 4), .receivers = 1 + draw(rng, 4), .sorted = draw_bool(rng)};
            const Experiment e = make_experiment(problem, seed, graph);
            check_all_orders(e);
            const int order = 1 + static_cast<int>(draw(rng, 3));
            const auto bits = [&] { return static_cast<unsigned>(rng() & rng()); };
            Request request{order, {}, subset(cotangents_of_order(order), bits())};
            for (const std::string& name : subset(outputs_of_order(order), bits())) {
                if (derivative(e.paths, request).find(name) >= 0) request.outputs.push_back(name);
            }
            const Deviation worst = worst_deviation(e, request);
            CHECK_MESSAGE(worst.ratio <= 1, worst.ratio, " times the bound at ", worst.where, " of ", to_json(problem));
        }
    }
}

TEST_CASE("samples up to degree 8 agree with the oracle") {
    const Problem problem = [] {
        Problem p;
        p.irreps_in1 = Irreps::parse("2x8e+1x5o");
        p.irreps_in2 = Irreps::parse("1x4e+2x8o");
        p.irreps_out = Irreps::parse("2x8e+2x7o+4x0o+2x6o");
        p.instructions = {{0, 0, 0, ConnectionMode::uvu, true, 1},
                          {0, 1, 1, ConnectionMode::uvw, true, 1},
                          {0, 1, 2, ConnectionMode::uvuv, false, 1},
                          {1, 0, 3, ConnectionMode::uvw, true, 1}};
        return p;
    }();
    const Experiment e = make_experiment(problem, 3, {.edges = 2, .senders = 2, .receivers = 2, .sorted = true});
    check_all_orders(e);
}

TEST_CASE("the comparison with the oracle can fail") {
    const Experiment e = make_experiment(uvu_problem(false), 4);
    const Request request{2, {}, {}};
    const PathProgram reference = derivative(e.paths, request);
    const EdgeProgram program = derivative(factor(e.paths, Factoring::products), request);
    REQUIRE(deviation_of(e, program, reference).ratio <= 1);
    for (std::size_t n = 0; n < program.statements.size(); ++n) {
        EdgeProgram changed = program;
        changed.statements[n].entries.front().value *= 1 + 1e-11;
        CHECK_MESSAGE(deviation_of(e, changed, reference).ratio > 1, "statement ", n);
    }
}

TEST_CASE("every subset of absent cotangents agrees with the oracle and removes operands and work") {
    check_absent_cotangents(2);
}

TEST_CASE("every subset of outputs agrees with the oracle") {
    for (int order = 0; order <= 2; ++order) check_outputs(order);
}

TEST_CASE("reverse and linearize alone agree with the oracle's") {
    const Experiment e = make_experiment(uvu_problem(true), 7);
    for (const Factoring factoring : factorings) {
        CAPTURE(to_string(factoring));
        const EdgeProgram forward = factor(e.paths, factoring);
        CHECK(deviation_of(e, reverse(forward), reverse(e.paths)).ratio <= 1);
        for (unsigned bits = 0; bits < 8; ++bits) {
            const auto directions = subset({"x", "y", "w"}, bits);
            CHECK(deviation_of(e, linearize(forward, directions), linearize(e.paths, directions)).ratio <= 1);
        }
    }
}

TEST_CASE("the signature is the oracle's: same operands in the same order, with and without weights") {
    for (const bool weighted : {true, false}) {
        const PathProgram paths = expand_paths(every_triple(ConnectionMode::uuu, weighted, 1));
        for (int order = 0; order <= 3; ++order) {
            const Request request{order, {}, {}};
            CHECK(derivative(factor(paths, Factoring::products), request).operands == derivative(paths, request).operands);
        }
    }
}

TEST_CASE("operands that no path reads still have gradients, which are zero") {
    Problem problem = every_triple(ConnectionMode::uvu, true, 1);
    for (Instruction& instruction : problem.instructions) instruction.path_weight = 0;
    const Experiment e = make_experiment(problem, 8);
    const EdgeProgram program = derivative(factor(e.paths, Factoring::products), Request{1, {}, {}});
    CHECK(program.statements.empty());
    for (const std::string& name : outputs_of_order(1)) {
        const OperandId id = program.find_operand(name);
        REQUIRE(id >= 0);
        CHECK(program.operands[id].role == Role::output);
        CHECK(program.operands[id].width > 0);
    }
    CHECK(deviation_of(e, program, derivative(e.paths, Request{1, {}, {}})).ratio == 0);
}

TEST_CASE("a request that does not fit is the user's error") {
    const EdgeProgram unweighted = factor(expand_paths(every_triple(ConnectionMode::uvu, false, 1)), Factoring::products);
    CHECK_THROWS_AS(derivative(unweighted, Request{1, {"d_w"}, {}}), UserError);
    CHECK_NOTHROW(derivative(unweighted, Request{2, {}, {"t_w"}}));
    CHECK_THROWS_AS(derivative(unweighted, Request{1, {"t_z"}, {}}), UserError);
    CHECK_THROWS_AS(derivative(unweighted, Request{4, {}, {}}), UserError);
}

TEST_CASE("the parts of a partition of the paths add up to the whole") {
    for (const Factoring factoring : factorings) {
        for (int order = 0; order <= 3; ++order) {
            const Experiment e = make_experiment(every_triple(ConnectionMode::uvu, true, 2), 9, small_graph);
            const EdgeProgram whole = derivative(factor(e.paths, factoring), Request{order, {}, {}});
            Tensors sum;
            for (int part = 0; part < 3; ++part) {
                std::vector<int> chosen;
                for (int path = part; path < std::ssize(e.paths.paths); path += 3) chosen.push_back(path);
                const EdgeProgram restricted = restrict_to_paths(whole, chosen);
                verify(restricted);
                CHECK(restricted.operands == whole.operands);
                CHECK(restricted.statements.size() < whole.statements.size());
                for (const auto& [name, values] : evaluate(restricted, e.graph, e.tensors)) {
                    auto& total = sum[name];
                    total.resize(values.size());
                    for (std::size_t n = 0; n < values.size(); ++n) total[n] += values[n];
                }
            }
            const auto expected = evaluate(derivative(e.paths, Request{order, {}, {}}), e.graph, e.tensors);
            CHECK(deviation(expected, sum, epsilon(DType::float64)).ratio <= 1);
        }
    }
}

TEST_CASE("a part computes the products and forms of its own paths only") {
    const PathProgram paths = expand_paths(uvu_problem(false));
    const EdgeProgram whole = factor(paths, Factoring::products);
    for (int path = 0; path < std::ssize(paths.paths); ++path) {
        // One path alone needs as many products as it has pairs (i, j), whatever other paths share them.
        PathProgram alone = paths;
        alone.terms = {paths.terms[path]};
        CHECK(count_operations(restrict_to_paths(whole, {path})).channel ==
              count_operations(factor(alone, Factoring::products)).channel);
    }
}
