// Every decision of a kernel as data. What follows from rows, labels and writers is derived by lowering, not stated here.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "ir/target.hpp"

namespace flashtp {

/// One level of a task's loop nest, outermost first. `chunk` steps the lane axis by lanes * channels_per_lane; as the first
/// level it is spread over the grid on a GPU. `axis` is a serial loop over a class of axes (ir/edge_program.hpp).
enum class LoopKind { chunk, receiver, edge, axis };
struct Loop {
    LoopKind kind = LoopKind::edge;
    int axis = -1;
    friend bool operator==(const Loop&, const Loop&) = default;
};

/// Part of the work one piece of straight-line code does: some paths, for a range of the channels of its lane axis.
/// `paths` restricts the program; axis numbers refer to axis_classes() of the restricted program.
struct Task {
    std::vector<int> paths;
    int lane_axis = -1;  ///< -1: no axis; the lanes compute the same and one of them writes
    int channels_per_lane = 1;
    std::int64_t channel_begin = 0, channel_end = 1;  ///< range of the lane axis; the last chunk may be ragged
    std::vector<Loop> loops;
    /// Class of a serial axis, innermost loop, whose own values (those without the lane axis) have it over the lanes outside of that loop: a
    /// step of the loop gets its numbers from a lane, and sums over lanes of `spread_rows` steps are made together. -1: none. On GPUs.
    int spread_axis = -1;
    int spread_rows = 16;
    int kernel = 0;  ///< the one of the request's kernels that it is part of
    friend bool operator==(const Task&, const Task&) = default;
};

/// Edge and sender rows reach registers through a ring of stages in shared memory, private to a warp.
struct Ring {
    int stages = 0;  ///< 0: no ring, direct loads
    CopyMechanism copy = CopyMechanism::plain;  ///< with barriers, stages of several edges are filled by groups all the same
    std::int64_t stage_bytes = 0;  ///< a stage holds 1, 2, 4 or 8 edges: as many as fit, and at least one
    friend bool operator==(const Ring&, const Ring&) = default;
};

/// Registers and cache that products over a tile's edges take (docs/design/fused-radial.md). Sums over hidden channels and over
/// edges have rows * vectors accumulators, sums over weights rows * sums.
struct ProductBlocks {
    int rows = 4;      ///< edges, or hidden channels of a sum over edges; a power of two
    int vectors = 3;   ///< of weights
    int sums = 2;      ///< hidden channels of a sum over weights
    int panel = 512;   ///< weights of which partial sums are added up together
    friend bool operator==(const ProductBlocks&, const ProductBlocks&) = default;
};

struct Schedule {
    std::vector<Task> tasks;    ///< of the convolution; where weights have a tile, of the part between the products
    bool receiver_stationary = false;  ///< rows handed to warps or threads are receivers, else edges
    Ring ring;
    bool stage_rows = false;    ///< receiver rows and gradients pass through shared memory for coalesced access (mul_ir on GPUs)
    bool sums_through_shared = false;  ///< an edge's sums over lanes are added up in shared memory instead of by shuffles
    bool bulk_reduce = false;   ///< sender rows leave by bulk reduction from shared memory (SM90 and newer)
    int tile_edges = 0;         ///< edges whose weights are made at a time; 0: an edge's, where they are used
    ProductBlocks products;
    int prefetch = 0;           ///< edges ahead of the one at hand whose rows are asked for
    bool deterministic = false; ///< sums that meet in memory are added in an order that no run and no number of threads changes
    int warps_per_block = 4;
    int min_blocks = 1;         ///< occupancy the register allocator is held to
    int rows_per_warp = 1;      ///< default; a launch argument, not part of the code
    std::string factoring = "products";
    std::string reason;         ///< why, for explain
    friend bool operator==(const Schedule&, const Schedule&) = default;
};

/// On GPUs a tile of more edges is in memory between kernels.
constexpr int most_edges_of_a_warp = 64;

/// Tasks name kernels below this.
constexpr std::int64_t most_kernels = 64;
/// Kernels that the tasks are shared out to.
int kernel_count(const Schedule&);

std::string to_string(const Schedule&);
std::string to_json(const Schedule&);
Schedule parse_schedule(std::string_view json);

}  // namespace flashtp
