// The connection modes: one row a mode. Everything else about a mode (extents, weight shape, fan-in, constraints) follows
// from its label strings.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ir/problem.hpp"

namespace flashtp {

/// Labels of the channel axes of x, y, w and z, indexed by Slot. u, v and w run over the multiplicities of in1, in2 and out;
/// q runs over the pairs u < v of in1 and in2. Labels that z lacks are summed.
struct ConnectionModeRow {
    ConnectionMode mode;
    std::string_view name;
    std::array<std::string_view, 4> labels;
    bool must_be_weighted;
};

/// Multiplicities of the segments an instruction joins.
struct Multiplicities {
    std::int64_t in1 = 0, in2 = 0, out = 0;
};

/// Every mode, in the order of the enumeration.
const std::vector<ConnectionModeRow>& connection_modes();
const ConnectionModeRow& row_of(ConnectionMode);
std::optional<ConnectionMode> find_connection_mode(std::string_view name);
std::vector<std::string_view> connection_mode_names();

Multiplicities multiplicities(const Problem&, const Instruction&);
/// Range of one label. Saturates instead of overflowing, as do the functions below.
std::int64_t extent_of(char label, const Multiplicities&);
/// Product of the ranges of distinct labels; 1 for none.
std::int64_t product_of_extents(std::string_view labels, const Multiplicities&);
/// Ranges of the weight's labels, slowest first.
std::vector<std::int64_t> path_shape(ConnectionMode, const Multiplicities&);
/// Number of products x*y summed into one output channel: the product of the ranges of the labels of x and y that z lacks.
std::int64_t fan_in(ConnectionMode, const Multiplicities&);
/// Labels of x, y (and w where asked for) without repeats.
std::string union_of_labels(ConnectionMode, bool with_weight);
/// The constraint of the mode that the multiplicities break, as a sentence; empty when they fit.
std::string broken_constraint(ConnectionMode, bool weighted, const Multiplicities&);

/// Products and sums that stop at the largest int64.
std::int64_t saturating_multiply(std::int64_t a, std::int64_t b);
std::int64_t saturating_add(std::int64_t a, std::int64_t b);

}  // namespace flashtp
