// Operands and outputs of the orders as flashtp.h names them, and the bit masks that stand for them in operator schemas.
#pragma once

#include <algorithm>
#include <array>
#include <bitset>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace flashtp::torch_operators {

inline constexpr int highest_order = 3;

/// What the forward problem takes: x, y; with weights w; with a radial layer h, W2 and maybe b in their place.
inline constexpr std::size_t fewest_sources = 2, most_sources = 5;

struct OrderNames {
    std::vector<std::string> inputs, outputs;
    std::size_t first_optional;  ///< inputs from this one on may be absent, which means zero; bit 0 of `absent` stands for it
};

inline std::vector<std::string> sources_named(std::size_t count) {
    if (count == 3) return {"x", "y", "w"};
    std::vector<std::string> all{"x", "y", "h", "W2", "b"};
    all.resize(count);
    return all;
}

inline OrderNames make_names(int order, std::size_t source_count) {
    const std::vector<std::string> sources = sources_named(source_count);
    const auto add = [&](std::vector<std::string>& names, const char* prefix) {
        for (const std::string& source : sources) names.push_back(prefix + source);
    };
    OrderNames names{sources, {}, std::min<std::size_t>(source_count + 1, source_count + static_cast<std::size_t>(order))};
    if (order >= 1) names.inputs.push_back("d_z");
    if (order >= 2) add(names.inputs, "t_");
    if (order >= 3) names.inputs.push_back("d_t_z"), add(names.inputs, "d_t_d_");
    if (order == 0) names.outputs = {"z"};
    if (order == 2) names.outputs = {"t_z"}, add(names.outputs, "t_d_");
    if (order == 1 || order == 3) add(names.outputs, "d_");
    if (order == 3) names.outputs.push_back("d_d_z"), add(names.outputs, "d_t_");
    return names;
}

inline const OrderNames& names_of(int order, std::size_t sources) {
    static const auto* const all = [] {
        auto* const table = new std::array<std::array<OrderNames, most_sources + 1>, highest_order + 1>;
        for (int n = 0; n <= highest_order; ++n)
            for (std::size_t s = fewest_sources; s <= most_sources; ++s) (*table)[static_cast<std::size_t>(n)][s] = make_names(n, s);
        return table;
    }();
    return (*all)[static_cast<std::size_t>(order)][sources];
}

inline bool has_bit(std::int64_t mask, std::size_t bit) { return (mask >> bit) & 1; }
inline std::size_t bits_in(std::int64_t mask) { return std::bitset<64>(static_cast<std::uint64_t>(mask)).count(); }

/// "d_x,d_w" for the names whose bits are set.
inline std::string chosen(std::span<const std::string> names, std::int64_t mask) {
    std::string text;
    for (std::size_t bit = 0; bit < names.size(); ++bit) {
        if (!has_bit(mask, bit)) continue;
        if (!text.empty()) text += ',';
        text += names[bit];
    }
    return text;
}

/// How many sources a problem has, from the number of a request's operands.
inline std::size_t source_count(int order, std::int64_t absent, std::size_t operands) {
    const std::size_t all = operands + bits_in(absent), cotangents[] = {0, 1, 1, 2}, copies[] = {1, 1, 2, 3};
    const auto n = static_cast<std::size_t>(order);
    return std::clamp((std::max(all, cotangents[n]) - cotangents[n]) / copies[n], fewest_sources, most_sources);
}

/// Positions among the names of the inputs of the operands that are there.
inline std::vector<std::size_t> present_inputs(const OrderNames& names, std::int64_t absent) {
    std::vector<std::size_t> present;
    for (std::size_t i = 0; i < names.inputs.size(); ++i)
        if (i < names.first_optional || !has_bit(absent, i - names.first_optional)) present.push_back(i);
    return present;
}

/// The bit, among the outputs of the next order, of the gradient in an input.
inline std::size_t gradient_bit(int order, std::size_t input, std::size_t sources) {
    return order == 1 ? (input + 1) % (sources + 1) : input;
}

}  // namespace flashtp::torch_operators
