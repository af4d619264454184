// Classes of graph sizes: which tuned schedule a program takes.
#pragma once

#include <cstdint>

namespace flashtp {

/// Graphs within a class share their best schedule, or nearly: what it depends on is how much of a device they fill.
enum class SizeClass { small, medium, large };

/// Large for 0, which stands for "not known".
constexpr SizeClass size_class(std::int64_t edges) {
    constexpr std::int64_t medium_edges = 8'192, large_edges = 65'536;
    if (edges <= 0 || edges >= large_edges) return SizeClass::large;
    return edges >= medium_edges ? SizeClass::medium : SizeClass::small;
}

}  // namespace flashtp
