// How a launch on a GPU spreads rows and edges over warps.
#pragma once

#include <cstdint>

#include "runtime/launch_plan.hpp"

namespace flashtp {

struct LaunchShape {
    std::int64_t rows = 0;    ///< that the grid is made for; 0: those of the launch
    int rows_per_warp = 0;    ///< 0: the kernel's default
    int parts = 1;            ///< warps a receiver, which then add up in memory zeroed before; more than one: one row a warp
    int part_edges = 0;       ///< edges of every part but the last, which takes the rest
    std::int64_t blocks = 0;  ///< not 0: so many are dealt out to all tasks and share the edges, and add as parts do
    bool adds() const { return parts > 1 || blocks > 0; }
    friend bool operator==(const LaunchShape&, const LaunchShape&) = default;
};

/// The shape that keeps a device busy which runs `slots` of the kernel's warps at a time.
LaunchShape choose_shape(const KernelFacts&, std::int64_t slots, std::int64_t rows, std::int64_t edges);

}  // namespace flashtp
