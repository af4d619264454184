#include "ir/connection_modes.hpp"

#include <limits>

#include "ir/error.hpp"
#include "ir/path_program.hpp"

namespace flashtp {
namespace {

bool contains(std::string_view labels, char label) { return labels.find(label) != std::string_view::npos; }

/// "in1", "in1*in2", "in1*(in1-1)/2": what a string of labels ranges over, for messages.
std::string extent_text(std::string_view labels) {
    std::string text;
    for (char label : labels) {
        if (!text.empty()) text += '*';
        text += label == 'u' ? "mul(in1)" : label == 'v' ? "mul(in2)" : label == 'w' ? "mul(out)" : "mul(in1)*(mul(in1)-1)/2";
    }
    return text;
}

}  // namespace

const std::vector<ConnectionModeRow>& connection_modes() {
    static const std::vector<ConnectionModeRow> rows{
        // mode                        name     x    y    w      z     must be weighted
        {ConnectionMode::uvw, "uvw", {"u", "v", "uvw", "w"}, true},
        {ConnectionMode::uvu, "uvu", {"u", "v", "uv", "u"}, false},
        {ConnectionMode::uvv, "uvv", {"u", "v", "uv", "v"}, false},
        {ConnectionMode::uuw, "uuw", {"u", "u", "uw", "w"}, false},
        {ConnectionMode::uuu, "uuu", {"u", "u", "u", "u"}, false},
        {ConnectionMode::uvuv, "uvuv", {"u", "v", "uv", "uv"}, false},
        {ConnectionMode::uvu_lt_v, "uvu<v", {"q", "q", "q", "q"}, false},
        {ConnectionMode::u_lt_vw, "u<vw", {"q", "q", "qw", "w"}, true},
    };
    return rows;
}

const ConnectionModeRow& row_of(ConnectionMode mode) {
    for (const ConnectionModeRow& row : connection_modes())
        if (row.mode == mode) return row;
    internal_error("connection mode {} has no row", static_cast<int>(mode));
}

std::optional<ConnectionMode> find_connection_mode(std::string_view name) {
    for (const ConnectionModeRow& row : connection_modes())
        if (row.name == name) return row.mode;
    return std::nullopt;
}

std::vector<std::string_view> connection_mode_names() {
    std::vector<std::string_view> names;
    for (const ConnectionModeRow& row : connection_modes()) names.push_back(row.name);
    return names;
}

std::int64_t saturating_multiply(std::int64_t a, std::int64_t b) {
    std::int64_t product = 0;
    return __builtin_mul_overflow(a, b, &product) ? std::numeric_limits<std::int64_t>::max() : product;
}

std::int64_t saturating_add(std::int64_t a, std::int64_t b) {
    std::int64_t sum = 0;
    return __builtin_add_overflow(a, b, &sum) ? std::numeric_limits<std::int64_t>::max() : sum;
}

Multiplicities multiplicities(const Problem& problem, const Instruction& instruction) {
    return {problem.irreps_in1[static_cast<std::size_t>(instruction.in1)].multiplicity,
            problem.irreps_in2[static_cast<std::size_t>(instruction.in2)].multiplicity,
            problem.irreps_out[static_cast<std::size_t>(instruction.out)].multiplicity};
}

std::int64_t extent_of(char label, const Multiplicities& m) {
    switch (label) {
    case 'u': return m.in1;
    case 'v': return m.in2;
    case 'w': return m.out;
    case 'q': return m.in1 < 2 ? 0 : saturating_multiply(m.in1, m.in1 - 1) / 2;
    default: internal_error("channel label '{}'", label);
    }
}

std::int64_t product_of_extents(std::string_view labels, const Multiplicities& m) {
    std::int64_t product = 1;
    for (char label : labels) product = saturating_multiply(product, extent_of(label, m));
    return product;
}

std::vector<std::int64_t> path_shape(ConnectionMode mode, const Multiplicities& m) {
    std::vector<std::int64_t> shape;
    for (char label : row_of(mode).labels[slot_w]) shape.push_back(extent_of(label, m));
    return shape;
}

std::string union_of_labels(ConnectionMode mode, bool with_weight) {
    const auto& labels = row_of(mode).labels;
    std::string all;
    for (Slot slot : {slot_x, slot_y, slot_w}) {
        if (slot == slot_w && !with_weight) continue;
        for (char label : labels[slot])
            if (!contains(all, label)) all += label;
    }
    return all;
}

std::int64_t fan_in(ConnectionMode mode, const Multiplicities& m) {
    const std::string_view kept = row_of(mode).labels[slot_z];
    std::int64_t count = 1;
    for (char label : union_of_labels(mode, false))
        if (!contains(kept, label)) count = saturating_multiply(count, extent_of(label, m));
    return count;
}

std::string broken_constraint(ConnectionMode mode, bool weighted, const Multiplicities& m) {
    const ConnectionModeRow& row = row_of(mode);
    if (row.labels[slot_x] == row.labels[slot_y] && m.in1 != m.in2)
        return fmt::format("mode {} needs mul(in1) = mul(in2), but they are {} and {}", row.name, m.in1, m.in2);
    const std::int64_t out = product_of_extents(row.labels[slot_z], m);
    if (out != m.out)
        return fmt::format("mode {} needs mul(out) = {} = {}, but it is {}", row.name, extent_text(row.labels[slot_z]), out,
                           m.out);
    if (weighted) return "";
    if (row.must_be_weighted) return fmt::format("mode {} must be weighted", row.name);
    // Only a weight can tell apart output channels whose label neither x nor y has.
    for (char label : row.labels[slot_z])
        if (!contains(union_of_labels(mode, false), label) && extent_of(label, m) != 1)
            return fmt::format("mode {} without weights needs {} = 1, but it is {}", row.name, extent_text({&label, 1}),
                               extent_of(label, m));
    return "";
}

}  // namespace flashtp
