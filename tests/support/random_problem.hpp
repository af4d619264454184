// Random problems, graphs and tensors. The same seed gives the same data on every machine: no distributions of the standard
// library, whose results differ between implementations.
#pragma once

#include <cstdint>
#include <optional>
#include <random>
#include <vector>

#include "ir/dtype.hpp"
#include "ir/graph.hpp"
#include "ir/problem.hpp"
#include "ir/view.hpp"

namespace flashtp::test {

/// What a random problem may be; what is not fixed here is drawn.
struct RandomOptions {
    int max_l = 3;
    int max_segments = 4;                ///< of in1 and of in2
    int max_instructions = 6;            ///< at least one is made
    std::int64_t max_products = 20'000;  ///< coefficients times channels an edge, roughly: keeps the oracle quick
    std::vector<std::int64_t> multiplicities{1, 2, 3, 5, 10, 33};
    bool zero_multiplicities = true;
    std::vector<ConnectionMode> modes;  ///< empty: all eight, mixed
    std::optional<bool> weighted, shared_weights, convolution;
    bool radial = false;  ///< weights of the last layer of a radial network, where there are any
    std::optional<DType> dtype;
    bool layouts = true;         ///< draw ir_mul for some operands
    bool normalizations = true;  ///< draw both, path weights and variances; else e3nn's defaults
};

/// A valid problem (checked by `validate`) with repeated segments, unread ones, outputs that several instructions share and
/// outputs that none writes.
Problem random_problem(std::mt19937_64&, const RandomOptions& = {});

struct GraphOptions {
    std::int64_t edges = 7;
    std::int64_t senders = 4, receivers = 5;  ///< of a convolution; a plain batch has its edges as rows
    bool sorted = true;                       ///< by receiver; unsorted graphs repeat receivers out of order
};

/// For a convolution: repeated edges, and (with more than one receiver) at least one receiver without an edge.
Graph random_graph(std::mt19937_64&, const Problem&, const GraphOptions& = {});

/// Values between -1 and 1, rounded to their type in memory, for every input operand.
Tensors random_tensors(const std::vector<Operand>&, const Graph&, std::mt19937_64&, DType arithmetic);

/// Uniform integer in [0, n), n > 0.
std::int64_t draw(std::mt19937_64&, std::int64_t n);
/// Uniform in [-1, 1).
double draw_value(std::mt19937_64&);
bool draw_bool(std::mt19937_64&, double probability = 0.5);

}  // namespace flashtp::test
