// Operands and outputs of the orders as flashtp.h names them, and the bit masks that stand for them in operator schemas.
#pragma once

#include <bitset>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace flashtp::torch_operators {

inline constexpr int highest_order = 3;

inline constexpr std::string_view input_names[] = {"x",   "y",     "w",       "d_z",     "t_x",    "t_y",
                                                   "t_w", "d_t_z", "d_t_d_x", "d_t_d_y", "d_t_d_w"};
inline constexpr std::size_t input_counts[] = {3, 4, 7, 11};
inline constexpr std::string_view output_names[][7] = {
    {"z"}, {"d_x", "d_y", "d_w"}, {"t_z", "t_d_x", "t_d_y", "t_d_w"}, {"d_x", "d_y", "d_w", "d_d_z", "d_t_x", "d_t_y", "d_t_w"}};
inline constexpr std::size_t output_counts[] = {1, 3, 4, 7};
/// Inputs from this one on may be absent, which means zero; bit 0 of `absent` stands for it.
inline constexpr std::size_t first_optional_input = 4;

inline std::span<const std::string_view> inputs_of(int order) { return {input_names, input_counts[order]}; }
inline std::span<const std::string_view> outputs_of(int order) { return {output_names[order], output_counts[order]}; }

inline bool has_bit(std::int64_t mask, std::size_t bit) { return (mask >> bit) & 1; }
inline std::size_t bits_in(std::int64_t mask) { return std::bitset<64>(static_cast<std::uint64_t>(mask)).count(); }

/// "d_x,d_w" for the names whose bits are set.
inline std::string chosen(std::span<const std::string_view> names, std::int64_t mask) {
    std::string text;
    for (std::size_t bit = 0; bit < names.size(); ++bit) {
        if (!has_bit(mask, bit)) continue;
        if (!text.empty()) text += ',';
        text += names[bit];
    }
    return text;
}

/// Whether a problem has weights, from the number of its operands.
inline bool is_weighted(int order, std::int64_t absent, std::size_t count) {
    return count + bits_in(absent) == input_counts[order];
}

/// Positions in inputs_of(order) of the operands that are there: all of a weighted problem, or all without the weights.
inline std::vector<std::size_t> present_inputs(int order, std::int64_t absent, std::size_t count) {
    const bool weighted = is_weighted(order, absent, count);
    std::vector<std::size_t> present;
    for (std::size_t i = 0; i < input_counts[order]; ++i) {
        if (i >= first_optional_input && has_bit(absent, i - first_optional_input)) continue;
        if (weighted || !input_names[i].ends_with('w')) present.push_back(i);
    }
    return present;
}

/// The bit, among the outputs of the next order, of the gradient in an input.
inline std::size_t gradient_bit(int order, std::size_t input) { return order == 1 ? (input + 1) % input_counts[1] : input; }

}  // namespace flashtp::torch_operators
