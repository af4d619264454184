#include "compiler/couplings.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <set>
#include <tuple>
#include <vector>

#include <doctest/doctest.h>

#include "ir/error.hpp"

using namespace flashtp;

namespace {

/// All entries of a coupling, zeros included.
struct Dense {
    int l1, l2, l3;
    std::vector<double> values;

    Dense(int a, int b, int c) : l1(a), l2(b), l3(c), values((2 * a + 1) * (2 * b + 1) * (2 * c + 1), 0.0) {
        for (const Coupling3j& entry : wigner_3j(a, b, c)) at(entry.i, entry.j, entry.k) = entry.value;
    }
    double& at(int i, int j, int k) { return values[(i * (2 * l2 + 1) + j) * (2 * l3 + 1) + k]; }
};

template <class Visit>
void for_each_triple(int largest, Visit visit) {
    for (int l1 = 0; l1 <= largest; ++l1) {
        for (int l2 = 0; l2 <= largest; ++l2) {
            for (int l3 = std::abs(l1 - l2); l3 <= std::min(largest, l1 + l2); ++l3) visit(l1, l2, l3);
        }
    }
}

}  // namespace

TEST_CASE("wigner_3j agrees with e3nn's values") {
    struct Golden {
        int l1, l2, l3, i, j, k;
        double value;
    };
    const Golden golden[] = {
        {1, 1, 2, 0, 2, 0, .316227766017},  {1, 1, 2, 0, 1, 1, .316227766017},  {1, 1, 2, 1, 1, 2, .365148371670},
        {1, 1, 2, 0, 0, 2, -.182574185835}, {1, 1, 2, 2, 2, 2, -.182574185835}, {1, 1, 2, 0, 0, 4, -.316227766017},
        {1, 1, 2, 2, 2, 4, .316227766017},  {1, 2, 2, 0, 0, 1, -.182574185835}, {1, 2, 2, 0, 2, 3, .316227766017},
        {1, 2, 2, 0, 3, 2, -.316227766017}, {1, 2, 2, 1, 0, 4, -.365148371670}, {2, 1, 3, 2, 1, 3, .292770021885},
        {2, 1, 3, 4, 2, 6, .267261241912},  {2, 1, 3, 0, 1, 1, .218217890236},  {2, 2, 2, 2, 2, 2, .239045721867},
        {2, 2, 2, 0, 0, 2, -.239045721867}, {2, 2, 2, 4, 4, 2, -.239045721867}, {2, 2, 2, 0, 1, 3, .207019667803},
        {3, 2, 1, 3, 2, 1, .292770021885},  {3, 2, 1, 0, 0, 2, .267261241912},  {3, 3, 3, 0, 1, 2, .154303349962},
    };
    for (const Golden& g : golden) {
        INFO("wigner_3j(" << g.l1 << ", " << g.l2 << ", " << g.l3 << ") at " << g.i << ", " << g.j << ", " << g.k);
        CHECK(std::fabs(Dense(g.l1, g.l2, g.l3).at(g.i, g.j, g.k) - g.value) < 1e-12);
    }
}

TEST_CASE("wigner_3j(1, 1, 1) is the cross product over sqrt(6), and couplings to a scalar are the dot product") {
    Dense cross(1, 1, 1);
    for (const auto& [i, j, k] : {std::array{0, 1, 2}, std::array{1, 2, 0}, std::array{2, 0, 1}}) {
        CHECK(std::fabs(cross.at(i, j, k) - 1 / std::sqrt(6.0)) < 1e-16);
        CHECK(std::fabs(cross.at(j, i, k) + 1 / std::sqrt(6.0)) < 1e-16);
    }
    for (int l = 0; l <= 8; ++l) {
        const std::vector<Coupling3j> dot = wigner_3j(l, l, 0);
        REQUIRE(dot.size() == static_cast<std::size_t>(2 * l + 1));
        for (const Coupling3j& c : dot) {
            CHECK(c.i == c.j);
            CHECK(std::fabs(c.value - 1 / std::sqrt(2.0 * l + 1)) < 1e-15);
        }
    }
}

TEST_CASE("the number of non-zero entries is e3nn's") {
    const auto count = [](int l1, int l2, int l3) { return wigner_3j(l1, l2, l3).size(); };
    CHECK(count(1, 1, 1) == 6);
    CHECK(count(1, 1, 2) == 11);
    CHECK(count(2, 1, 3) == 21);
    CHECK(count(2, 2, 2) == 25);
    CHECK(count(3, 2, 1) == 21);
    CHECK(count(3, 3, 3) == 42);
    CHECK(count(3, 3, 2) == 41);
    CHECK(count(4, 3, 2) == 50);
    CHECK(count(5, 3, 5) == 102);
    CHECK(count(7, 2, 5) == 91);

    const std::size_t triples[] = {1, 5, 15, 34, 65, 111}, entries[] = {1, 16, 137, 611, 2052, 5265};
    const std::size_t distinct_floats[] = {1, 4, 16, 44, 154, 339};
    for (int largest = 1; largest <= 5; ++largest) {
        CAPTURE(largest);
        std::size_t triple_count = 0, entry_count = 0;
        std::set<float> values;
        for_each_triple(largest, [&](int l1, int l2, int l3) {
            const std::vector<Coupling3j> coupling = wigner_3j(l1, l2, l3);
            ++triple_count;
            entry_count += coupling.size();
            for (const Coupling3j& c : coupling) values.insert(static_cast<float>(c.value));
        });
        CHECK(triple_count == triples[largest]);
        CHECK(entry_count == entries[largest]);
        CHECK(values.size() == distinct_floats[largest]);
    }
}

TEST_CASE("entries are sorted, and far from rounding where they are not zero") {
    double smallest = 1;
    bool sorted = true;
    for_each_triple(8, [&](int l1, int l2, int l3) {
        const std::vector<Coupling3j> coupling = wigner_3j(l1, l2, l3);
        for (std::size_t n = 0; n < coupling.size(); ++n) {
            smallest = std::min(smallest, std::fabs(coupling[n].value));
            if (n == 0) continue;
            const Coupling3j &a = coupling[n - 1], &b = coupling[n];
            sorted = sorted && std::tie(a.i, a.j, a.k) < std::tie(b.i, b.j, b.k);
        }
    });
    CHECK(sorted);
    CHECK(smallest > 1e-3);
}

TEST_CASE("rows of a coupling are orthogonal, their norm is 1 / (2 l3 + 1)") {
    for_each_triple(8, [](int l1, int l2, int l3) {
        INFO("wigner_3j(" << l1 << ", " << l2 << ", " << l3 << ")");
        Dense c(l1, l2, l3);
        double worst = 0;
        for (int k = 0; k <= 2 * l3; ++k) {
            for (int other = 0; other <= 2 * l3; ++other) {
                double sum = 0;
                for (int i = 0; i <= 2 * l1; ++i) {
                    for (int j = 0; j <= 2 * l2; ++j) sum += c.at(i, j, k) * c.at(i, j, other);
                }
                worst = std::max(worst, std::fabs(sum - (k == other ? 1.0 / (2 * l3 + 1) : 0.0)));
            }
        }
        CHECK(worst < 2e-15);
    });
}

TEST_CASE("a cyclic exchange of the three places keeps a coupling, a swap gives the sign (-1)^(l1+l2+l3)") {
    for_each_triple(8, [](int l1, int l2, int l3) {
        INFO("wigner_3j(" << l1 << ", " << l2 << ", " << l3 << ")");
        const double sign = (l1 + l2 + l3) % 2 == 0 ? 1 : -1;
        const std::vector<Coupling3j> coupling = wigner_3j(l1, l2, l3);
        Dense cyclic(l2, l3, l1), swapped(l2, l1, l3);
        CHECK(wigner_3j(l2, l3, l1).size() == coupling.size());
        CHECK(wigner_3j(l2, l1, l3).size() == coupling.size());
        double worst = 0;
        for (const Coupling3j& c : coupling) {
            worst = std::max(worst, std::fabs(cyclic.at(c.j, c.k, c.i) - c.value));
            worst = std::max(worst, std::fabs(swapped.at(c.j, c.i, c.k) - sign * c.value));
        }
        CHECK(worst < 1e-15);
    });
}

TEST_CASE("couplings of the largest supported degree are still normalised, beyond it they are refused") {
    double sum = 0;
    for (const Coupling3j& c : wigner_3j(16, 16, 16)) sum += c.value * c.value;
    CHECK(std::fabs(sum - 1) < 1e-13);
    CHECK_THROWS_AS(wigner_3j(17, 17, 0), InternalError);
    CHECK_THROWS_AS(wigner_3j(1, 1, 3), InternalError);
    CHECK_THROWS_AS(wigner_3j(-1, 1, 1), InternalError);
}
