#include "compiler/merge_products.hpp"

#include <cmath>
#include <random>

#include <doctest/doctest.h>

#include "compiler/derivative.hpp"
#include "compiler/expand_paths.hpp"
#include "compiler/factor.hpp"
#include "tests/support/every_triple.hpp"

using namespace flashtp;
using namespace flashtp::test;

namespace {

std::vector<double> values_of(const std::vector<LinearForm>& forms, const std::vector<double>& at) {
    std::vector<double> values;
    for (const LinearForm& form : forms) {
        values.push_back(0);
        for (const auto& [component, coefficient] : form) values.back() += coefficient * at[static_cast<std::size_t>(component)];
    }
    return values;
}

std::size_t terms_of(const std::vector<LinearForm>& forms) {
    std::size_t terms = 0;
    for (const LinearForm& form : forms) terms += form.size();
    return terms;
}

/// Rows of small integers and halves, so that coefficients meet and sums are exact.
std::vector<LinearForm> random_rows(std::mt19937_64& rng, int products) {
    std::vector<LinearForm> rows(1 + rng() % 12);
    for (LinearForm& row : rows)
        for (int p = 0; p < products; ++p)
            if (rng() % 3 == 0) row.emplace_back(p, (rng() % 2 ? 1.0 : -1.0) * (rng() % 2 ? 0.5 : 2.0));
    return rows;
}

}  // namespace

TEST_CASE("merged products: a pair that every row has is computed once") {
    const std::vector<LinearForm> rows = {
        {{0, 3.0}, {1, -3.0}}, {{0, 0.5}, {1, -0.5}, {2, 7.0}}, {{0, -2.0}, {1, 2.0}}, {{0, 1.0}, {1, 1.0}}};
    const MergedProducts merged = merge_products(rows, {1, 1});
    REQUIRE(merged.sums.size() == 4);
    CHECK(merged.sums.back() == LinearForm{{0, 1.0}, {1, -1.0}});
    CHECK(merged.rows[0] == LinearForm{{3, 3.0}});
    CHECK(merged.rows[1] == LinearForm{{2, 7.0}, {3, 0.5}});
    CHECK(merged.rows[2] == LinearForm{{3, -2.0}});
    CHECK(merged.rows[3].size() == 2);  // a pair that one row has would save nothing
}

TEST_CASE("merged products: values stay, and the cost never rises") {
    std::mt19937_64 rng(7);
    for (int round = 0; round < 500; ++round) {
        const int products = 2 + static_cast<int>(rng() % 8);
        const std::vector<LinearForm> rows = random_rows(rng, products);
        std::vector<double> at;
        for (int p = 0; p < products; ++p) at.push_back(static_cast<double>(rng() % 64));
        for (int order = 0; order <= 3; ++order) {
            const MergeCosts costs = merge_costs(order);
            const MergedProducts plain = merge_products(rows, {1, 0}), merged = merge_products(rows, costs);
            CHECK(values_of(merged.rows, values_of(merged.sums, at)) == values_of(rows, at));
            const auto cost = [&](const MergedProducts& m) { return terms_of(m.sums) * costs.product + terms_of(m.rows) * costs.term; };
            CHECK(cost(merged) <= cost(plain));
            CHECK(terms_of(plain.rows) == terms_of(rows));
        }
    }
}

TEST_CASE("merged products: scales that rows of a path share") {
    const double third = 1 / std::sqrt(3.0), same = std::nextafter(third, 1.0);
    const std::vector<LinearForm> rows = {{{0, third}, {1, 2.0}}, {{2, -same}}, {{3, 2.0}, {4, 5.0}}, {{5, 7.0}}};
    CHECK(common_scales(rows, 2) == std::vector<double>{third, third, 1.0, 1.0});
    CHECK(common_scales(rows, 3) == std::vector<double>{1.0, 1.0, 1.0, 1.0});
    CHECK(divided({{0, 2.0}, {1, -same}}, third) == LinearForm{{1, -1.0}, {0, 2.0 / third}});
}

// Operations include first terms with coefficient 1, which cost nothing: in double backward they hide what is saved.
TEST_CASE("merged products: fewer operations for a layer up to l = 3") {
    const PathProgram paths = expand_paths(sevennet_l3i5_layer());
    for (int order = 0; order <= 1; ++order) {
        const auto operations = [&](Factoring factoring) {
            const EdgeProgram program = derivative(factor(paths, factoring, order), Request{order, {}, {}});
            return count_operations(program).channel;
        };
        CHECK(operations(Factoring::merged) < operations(Factoring::products));
    }
}
