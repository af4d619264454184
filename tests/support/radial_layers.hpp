// Layers with a radial network, and graphs on which tiles and windows of edges begin and end within receivers.
#pragma once

#include <cstdint>

#include "ir/problem.hpp"
#include "tests/support/every_triple.hpp"
#include "tests/support/random_problem.hpp"

namespace flashtp::test {

inline Problem radial_layer(std::int64_t hidden, bool bias, const char* irreps = "32x0e+40x1o") {
    Problem problem = uvu_layer(irreps, "1x0e+1x1o+1x2e");
    problem.radial = Radial{hidden, 0.25, bias};
    return problem;
}

/// Beside, across and beyond the fragments and steps of products.
inline constexpr std::int64_t layer_widths[] = {1, 8, 17, 64, 80, 130};

/// Receivers that share tiles, and tiles that share receivers.
inline constexpr GraphOptions uneven_graphs[] = {{.edges = 61, .senders = 7, .receivers = 11, .sorted = false},
                                                 {.edges = 37, .senders = 5, .receivers = 2, .sorted = true},
                                                 {.edges = 3, .senders = 5, .receivers = 6, .sorted = true}};

}  // namespace flashtp::test
