// The generator reaches what it promises: tests that draw from it would pass silently otherwise.
#include "tests/support/random_problem.hpp"

#include <algorithm>
#include <map>
#include <set>
#include <string>

#include <doctest/doctest.h>

#include "compiler/expand_paths.hpp"
#include "ir/connection_modes.hpp"

using namespace flashtp;
using namespace flashtp::test;

namespace {

/// How many problems have a property.
std::map<std::string, int> properties_of(int seeds, const RandomOptions& options) {
    std::map<std::string, int> count;
    for (int seed = 0; seed < seeds; ++seed) {
        std::mt19937_64 rng(static_cast<std::uint64_t>(seed));
        const Problem p = random_problem(rng, options);
        std::set<std::string> properties;
        const auto note = [&](bool holds, const char* name) {
            if (holds) properties.insert(name);
        };
        std::set<ConnectionMode> modes;
        std::set<int> written;
        for (const Instruction& instruction : p.instructions) {
            properties.insert((instruction.weighted ? "weighted " : "unweighted ") + std::string(to_string(instruction.mode)));
            modes.insert(instruction.mode);
            note(!written.insert(instruction.out).second, "shared output");
            note(instruction.path_weight == 0, "zero path weight");
            note(p.irreps_in2[static_cast<std::size_t>(instruction.in2)].multiplicity > 1, "in2 multiplicity above 1");
            for (const std::int64_t m : {1, 2, 3, 5, 10, 33})
                if (p.irreps_in1[static_cast<std::size_t>(instruction.in1)].multiplicity == m)
                    properties.insert("in1 multiplicity " + std::to_string(m));
        }
        note(modes.size() > 1, "mixed modes");
        note(written.size() < p.irreps_out.size(), "output without path");
        for (const Irreps* irreps : {&p.irreps_in1, &p.irreps_in2, &p.irreps_out}) {
            note(std::ranges::any_of(*irreps, [](const MulIrrep& part) { return part.multiplicity == 0; }), "zero multiplicity");
            for (std::size_t n = 1; n < irreps->size(); ++n) note((*irreps)[n].irrep == (*irreps)[n - 1].irrep, "repeated irrep");
        }
        note(p.layout_in1 == Layout::ir_mul, "ir_mul in1");
        note(p.layout_in2 == Layout::ir_mul, "ir_mul in2");
        note(p.layout_out == Layout::ir_mul, "ir_mul out");
        note(p.shared_weights, "shared weights");
        note(p.convolution, "convolution");
        note(!p.convolution, "plain");
        note(!p.in1_var.empty(), "variances");
        note(p.dtype == DType::float32, "float32");
        note(p.path_normalization == PathNormalization::path, "path normalization path");
        note(p.irrep_normalization == IrrepNormalization::none, "irrep normalization none");
        note(expand_paths(p).paths.empty(), "no path at all");
        for (const std::string& property : properties) ++count[property];
    }
    return count;
}

}  // namespace

TEST_CASE("random problems reach every mode and every feature") {
    const std::map<std::string, int> count = properties_of(400, {});
    const auto often = [&](const std::string& property, int least) {
        INFO(property);
        const auto found = count.find(property);
        CHECK((found == count.end() ? 0 : found->second) >= least);
    };
    for (const ConnectionModeRow& row : connection_modes()) {
        often("weighted " + std::string(row.name), 20);
        if (!row.must_be_weighted) often("unweighted " + std::string(row.name), 5);
    }
    for (const char* property : {"mixed modes",
                                 "shared output",
                                 "zero path weight",
                                 "in2 multiplicity above 1",
                                 "output without path",
                                 "zero multiplicity",
                                 "repeated irrep",
                                 "ir_mul in1",
                                 "ir_mul in2",
                                 "ir_mul out",
                                 "shared weights",
                                 "convolution",
                                 "plain",
                                 "variances",
                                 "float32",
                                 "path normalization path",
                                 "irrep normalization none",
                                 "in1 multiplicity 1",
                                 "in1 multiplicity 2",
                                 "in1 multiplicity 3",
                                 "in1 multiplicity 5",
                                 "in1 multiplicity 10",
                                 "in1 multiplicity 33"})
        often(property, 20);
    CHECK(count.at("no path at all") < 40);
}

TEST_CASE("options of random problems hold") {
    RandomOptions options;
    options.modes = {ConnectionMode::uvu_lt_v};
    options.weighted = false;
    options.convolution = true;
    options.dtype = DType::float32;
    options.layouts = options.normalizations = options.zero_multiplicities = false;
    for (std::uint64_t seed = 0; seed < 100; ++seed) {
        std::mt19937_64 rng(seed);
        const Problem problem = random_problem(rng, options);
        CHECK_FALSE(problem.instructions.empty());
        for (const Instruction& instruction : problem.instructions) {
            CHECK(instruction.mode == ConnectionMode::uvu_lt_v);
            CHECK_FALSE(instruction.weighted);
            CHECK(instruction.path_weight == 1);
        }
        CHECK(problem.convolution);
        CHECK(problem.dtype == DType::float32);
        CHECK(problem.layout_in1 == Layout::mul_ir);
    }
}

TEST_CASE("one seed gives one problem, graph and tensors, on every machine") {
    std::mt19937_64 first(7), second(7);
    CHECK(random_problem(first) == random_problem(second));
    std::mt19937_64 rng(7);
    CHECK(draw(rng, 1000) == 15);  // the generator's values are fixed by the C++ standard
    CHECK(draw(rng, 1000) == 250);
}

TEST_CASE("random graphs have isolated receivers and repeated edges, and are sorted when asked") {
    Problem problem;
    problem.convolution = true;
    bool repeated = false, unsorted = false;
    for (std::uint64_t seed = 0; seed < 20; ++seed) {
        std::mt19937_64 rng(seed);
        const Graph sorted = random_graph(rng, problem, {30, 6, 5, true}), free = random_graph(rng, problem, {30, 6, 5, false});
        for (const Graph* graph : {&sorted, &free}) {
            REQUIRE(graph->sender.size() == 30);
            REQUIRE(graph->receiver.size() == 30);
            CHECK(*std::ranges::max_element(graph->receiver) < 5);
            CHECK(*std::ranges::max_element(graph->sender) < 6);
            CHECK(std::set(graph->receiver.begin(), graph->receiver.end()).size() < 5);
            std::set<std::pair<int, int>> edges;
            for (std::size_t n = 0; n < 30; ++n) repeated |= !edges.emplace(graph->receiver[n], graph->sender[n]).second;
        }
        CHECK(std::ranges::is_sorted(sorted.receiver));
        unsorted |= !std::ranges::is_sorted(free.receiver);
    }
    CHECK(repeated);
    CHECK(unsorted);
    std::mt19937_64 rng(1);
    CHECK(random_graph(rng, problem, {0, 3, 3, true}).receiver.empty());
    problem.convolution = false;
    CHECK(random_graph(rng, problem, {8, 3, 3, true}).sender.empty());
    CHECK(random_graph(rng, problem, {8, 3, 3, true}).receivers == 8);
}

TEST_CASE("random tensors are rounded to the type") {
    const std::vector<Operand> operands{{"x", 50, Row::edge, Role::input}, {"z", 3, Row::edge, Role::output}};
    std::mt19937_64 rng(3);
    const Graph graph{4, 4, 4, {}, {}};
    const Tensors single = random_tensors(operands, graph, rng, DType::float32),
                  wide = random_tensors(operands, graph, rng, DType::float64);
    CHECK(single.count("z") == 0);
    REQUIRE(single.at("x").size() == 200);
    const auto is_single = [](double value) { return static_cast<double>(static_cast<float>(value)) == value; };
    CHECK(std::ranges::all_of(single.at("x"), is_single));
    CHECK_FALSE(std::ranges::all_of(wide.at("x"), is_single));
}
