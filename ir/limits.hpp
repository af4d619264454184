// Limits on what is accepted, checked before any code is generated. docs/limits.md is printed from this table.
#pragma once

#include <cstdint>
#include <string_view>

#include "ir/error.hpp"

namespace flashtp {

struct Limit {
    std::string_view name;
    std::int64_t value;
    std::string_view what;
};

namespace limits {
inline constexpr Limit max_l{"max_l", 8, "largest degree l of an irrep"};
inline constexpr Limit max_multiplicity{"max_multiplicity", 65'536, "largest multiplicity of a segment"};
inline constexpr Limit max_hidden{"max_hidden", 4'096, "hidden channels of radial weights"};
inline constexpr Limit max_segments{"max_segments", 4'096, "segments in one irreps list"};
inline constexpr Limit max_instructions{"max_instructions", 4'096, "instructions in one problem"};
inline constexpr Limit max_row_width{"max_row_width", 1'000'000'000, "elements in a row of an operand"};
inline constexpr Limit max_work{"max_work", 1'000'000'000,
                                "multiply-adds an edge of the forward program (an upper bound is compared)"};
inline constexpr Limit max_entries{"max_entries", 2'000'000,
                                   "non-zero 3j symbols, summed over paths (an upper bound is compared)"};
inline constexpr Limit max_json_bytes{"max_json_bytes", 1024 * 1024, "bytes of a specification file"};
inline constexpr Limit max_json_depth{"max_json_depth", 16, "nesting of a specification"};

inline constexpr Limit max_json_values{"max_json_values", 65'536, "values and keys in a specification"};
inline constexpr Limit max_layers{"max_layers", 1'024, "layers in one file"};
inline constexpr Limit max_name_bytes{"max_name_bytes", 200, "bytes of a problem's name"};

inline constexpr Limit all[] = {max_l,       max_multiplicity, max_hidden, max_segments,   max_instructions, max_row_width, max_work,
                                max_entries, max_json_bytes,   max_json_depth, max_json_values,  max_layers,    max_name_bytes};
}  // namespace limits

/// `found` is the offending amount as text: it may be too large for any integer type.
[[noreturn]] inline void limit_error(const Limit& limit, std::string_view where, std::string_view found) {
    throw LimitError(fmt::format("{}: {} is over the limit {} = {} ({})", where, found, limit.name, limit.value, limit.what));
}

inline void check_limit(const Limit& limit, std::string_view where, std::int64_t found) {
    if (found > limit.value) limit_error(limit, where, fmt::to_string(found));
}

}  // namespace flashtp
