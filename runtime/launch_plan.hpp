// What a launch needs to know of a compiled request, without any of its IR. The cache keeps it, so that a program that was compiled
// before runs without being lowered again.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "compiler/pipeline.hpp"
#include "ir/kernel.hpp"
#include "runtime/arguments.hpp"
#include "runtime/graph_view.hpp"

namespace flashtp {

/// A kernel from outside.
struct KernelFacts {
    std::string name;
    bool receiver_rows = false;  ///< walks over the edges of its rows
    bool windows = false;        ///< a launch does a window of the edges
    Row rows = Row::edge;        ///< that it is handed; shared: ranges of rows of the kernel before that cuts them
    std::int64_t most_ranges = 0;  ///< not 0: its rows are cut into so many ranges at most, a warp's each
    bool adds_parts = false;     ///< warps that share a receiver add up in memory
    bool only_sums = false;      ///< and it has no other outputs, and does not make its weights itself
    bool adds_shared = false;    ///< warps add up in memory what all rows share
    bool shares_edges = false;   ///< warps share edges, not parts of receivers
    int lanes = 1, warps_per_block = 1, rows_per_warp = 1;
    int arguments = 0;               ///< pointers that it takes
    std::int64_t chunks = 0;         ///< of all tasks
    std::int64_t shared_bytes = 0;   ///< dynamic shared memory of a block (CUDA)
    friend bool operator==(const KernelFacts&, const KernelFacts&) = default;
};
KernelFacts facts_of(const Kernel&);

/// A matrix [rows][width] of a program's signature. Inputs that no kernel reads are part of it; their pointers may be null.
struct ProgramOperand {
    std::string name;
    Role role = Role::input;
    Row row = Row::edge;
    std::int64_t width = 0;
    DType dtype = DType::float32;
    bool used = false;  ///< an output, or an input that some kernel reads
    friend bool operator==(const ProgramOperand&, const ProgramOperand&) = default;
};

/// Where a kernel gets a tile, and whether it has to find zeros there.
struct TileUse {
    std::size_t kernel = 0, argument = 0, tile = 0;
    bool zeroed = false;
    friend bool operator==(const TileUse&, const TileUse&) = default;
};

struct LaunchPlan {
    std::vector<ProgramOperand> operands;
    std::vector<ProgramOperand> tiles;  ///< what kernels hand each other: arguments count them after the operands
    std::vector<std::size_t> tile_places;  ///< by tile: the one in whose memory it lies, in windows
    std::vector<TileUse> tile_uses;
    std::int64_t tile_edges = 0;  ///< edges of a tile
    std::vector<KernelFacts> kernels;
    std::vector<ArgumentList> arguments;  ///< by kernel
    std::vector<OutputRule> outputs;
    bool deterministic = false;

    /// Rows of a kernel, and ranges that they are cut into, on a graph of these counts; those of a graph, of the first kernel and so on.
    std::int64_t rows_of(std::size_t kernel, const GraphView&) const;
    std::int64_t ranges_of(std::size_t kernel, const GraphView&) const;
    /// Rows of a matrix that kernels hand each other.
    std::int64_t rows_of(const ProgramOperand& tile, const GraphView&) const;
    /// Rows a warp, where they are fixed, or 0.
    int rows_per_warp(std::size_t kernel, const GraphView&) const;

    /// Whether the graph has to have its edges by sender as well.
    bool windows() const;  ///< tiles are those of windows of the edges, else of the whole graph
    bool sums_by_sender() const;
    friend bool operator==(const LaunchPlan&, const LaunchPlan&) = default;
};
LaunchPlan plan_of(const Lowered&, DType);

std::string to_json(const LaunchPlan&);
/// Throws UserError for text that describes no plan, or one that would read outside its own lists.
LaunchPlan parse_launch_plan(std::string_view json);

}  // namespace flashtp
