#include "runtime/launch_shape.hpp"

#include <algorithm>

namespace flashtp {
namespace {

/// When receivers are split: while a slot has fewer items than `below`; into how many, so that a slot gets `rounds` items; and into
/// parts of how many edges at least. docs/performance.md has the measurements.
struct Splitting {
    std::int64_t below, rounds, fewest_edges;
};
constexpr Splitting too_few{1, 2, 8}, uneven{4, 3, 16};

constexpr std::int64_t divided_up(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

/// Products load a matrix when they begin: a warp does as many edges as there are for it, in whole fragments.
LaunchShape shape_of_products(std::int64_t items, std::int64_t slots) {
    constexpr std::int64_t fragment = 32;
    return {.rows_per_warp = static_cast<int>(divided_up(divided_up(items, slots), fragment) * fragment)};
}

LaunchShape shape_of_parts(const Splitting& how, std::int64_t items, std::int64_t slots, std::int64_t degree) {
    const std::int64_t parts = std::clamp<std::int64_t>(degree / how.fewest_edges, 1, divided_up(how.rounds * slots, items));
    return {.rows_per_warp = 1, .parts = static_cast<int>(parts), .part_edges = static_cast<int>(divided_up(degree, parts))};
}

}  // namespace

// An item is a row of a chunk. A warp takes several rows only where many are left for every slot. Where items are fewer than slots, or
// not many more and a part leaves nothing to be added up, receivers are split.
LaunchShape choose_shape(const KernelFacts& kernel, std::int64_t slots, std::int64_t rows, std::int64_t edges) {
    const std::int64_t items = rows * kernel.chunks;
    if (kernel.windows && !kernel.receiver_rows) return shape_of_products(items, slots);
    // Rows that all warps add to meet fewer additions the more rows a warp adds up in registers.
    constexpr std::int64_t rounds_of_sums = 4;
    if (kernel.adds_shared && items >= slots)
        return {.rows_per_warp = static_cast<int>(std::max<std::int64_t>(kernel.rows_per_warp, items / (rounds_of_sums * slots)))};
    if (items >= 4 * kernel.rows_per_warp * slots) return {};
    const Splitting& how = items < slots || kernel.adds_parts ? too_few : uneven;
    const bool enough = items == 0 || items >= how.below * slots;
    // Zeroing and additions cost more than the empty slots.
    const bool dear = kernel.only_sums && items * 2 > slots;
    if (!kernel.receiver_rows || enough || dear) return {.rows_per_warp = 1};
    if (!kernel.shares_edges) return shape_of_parts(how, items, slots, divided_up(edges, rows));
    const std::int64_t warps = std::min(slots, edges * kernel.chunks / how.fewest_edges);
    return {.rows_per_warp = 1, .blocks = std::max(kernel.chunks, warps / kernel.warps_per_block)};
}

}  // namespace flashtp
