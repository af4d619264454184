#include "runtime/cuda_launch.hpp"

#include <algorithm>

namespace flashtp {

namespace {

/// Windows begin at whole vectors of memory, whatever the width of a tile.
constexpr std::int64_t window_unit = 32;

/// Edges of all windows but the last: as even as can be.
std::int64_t window_edges(const LaunchPlan& plan, std::int64_t edges) {
    if (!plan.windows()) return edges;
    const std::int64_t most = std::max(window_unit, plan.tile_edges / window_unit * window_unit), count = std::max<std::int64_t>(1, (edges + most - 1) / most);
    return ((edges + count - 1) / count + window_unit - 1) / window_unit * window_unit;
}

std::int64_t tile_bytes(const ProgramOperand& tile, std::int64_t edges) {
    return edges * tile.width * static_cast<std::int64_t>(size_of(tile.dtype));
}

/// Where memory of a tile begins in that of a window; behind the last one, where that ends.
std::int64_t offset_of(const LaunchPlan& plan, std::size_t place, std::int64_t edges) {
    std::int64_t bytes = 0;
    for (std::size_t t = 0; t < place; ++t)
        if (plan.tile_places[t] == t) bytes += tile_bytes(plan.tiles[t], edges);
    return bytes;
}

}  // namespace

std::int64_t CudaLaunchSequence::scratch_bytes(const LaunchPlan& plan, std::int64_t edges) {
    return offset_of(plan, plan.tiles.size(), window_edges(plan, edges));
}

CudaLaunchSequence::CudaLaunchSequence(const LaunchPlan& plan, std::span<const std::unique_ptr<Module>> modules, const GraphView& graph, void* stream)
    : plan_(plan), modules_(modules), graph_(graph), stream_(stream), launches_(modules.size()) {}

std::int64_t CudaLaunchSequence::rows_of(std::size_t kernel, const EdgeWindow& window) const {
    const KernelFacts& facts = plan_.kernels[kernel];
    return facts.windows && !facts.receiver_rows ? window.end - window.begin : plan_.rows_of(kernel, graph_);
}

// A window has its share of the receivers, if these are alike; where it has more, its warps take several.
LaunchShape CudaLaunchSequence::shape_of(std::size_t kernel, std::int64_t edges) const {
    if (const int fixed = plan_.rows_per_warp(kernel, graph_)) return {0, fixed, 1, 0};
    const KernelFacts& facts = plan_.kernels[kernel];
    std::int64_t rows = rows_of(kernel, {0, edges, graph_.receivers});
    if (facts.windows && facts.receiver_rows && graph_.edges > 0) rows = std::min(graph_.receivers, rows * edges / graph_.edges + 2);
    LaunchShape shape = modules_[kernel]->shape(rows, edges);
    if (facts.windows) shape.rows = rows;
    // Parts of a receiver's sum would be added in no fixed order; without such sums it is all the same which warp has an edge.
    if (plan_.deterministic && facts.adds_parts) shape.parts = 1, shape.blocks = 0;
    return shape;
}

void CudaLaunchSequence::prepare(std::span<void* const> operands, const EdgeWindow& largest) {
    for (std::size_t k = 0; k < modules_.size(); ++k) {
        LaunchArguments& launch = launches_[k];
        launch.buffers = plan_.arguments[k].pointers(operands, graph_);
        launch.shape = shape_of(k, largest.end);
        launch.row_count = plan_.kernels[k].rows == Row::edge ? graph_.edge_count : nullptr;
        launch.stream = stream_;
    }
}

std::vector<MemoryRange> CudaLaunchSequence::zeroed_outputs(std::span<void* const> operands) const {
    const bool split = std::ranges::any_of(launches_, [](const LaunchArguments& launch) { return launch.shape.adds(); });
    std::vector<MemoryRange> zeroed;
    for (const OutputRule& output : plan_.outputs) {
        const std::int64_t bytes = graph_.rows(output.row) * output.row_bytes();
        const bool needed = output.zeroed || (split && output.row == Row::receiver);
        if (needed && bytes > 0) zeroed.push_back({operands[static_cast<std::size_t>(output.operand)], static_cast<std::uint64_t>(bytes)});
    }
    return zeroed;
}

bool CudaLaunchSequence::is_zeroed(std::size_t tile) const {
    return std::ranges::any_of(plan_.tile_uses, [&](const TileUse& use) { return use.tile == tile && use.zeroed; });
}

/// Kernels address the rows of a tile by the edges' positions. Returns what has to be zeroed.
std::vector<MemoryRange> CudaLaunchSequence::place_tiles(std::byte* scratch, const EdgeWindow& window) {
    std::vector<MemoryRange> zeroed;
    for (std::size_t t = 0; t < plan_.tiles.size(); ++t) {
        const ProgramOperand& tile = plan_.tiles[t];
        std::byte* const place = scratch + offset_of(plan_, plan_.tile_places[t], window_edges(plan_, graph_.edges));
        const auto first = reinterpret_cast<std::uintptr_t>(place) - static_cast<std::uintptr_t>(tile_bytes(tile, window.begin));
        for (const TileUse& use : plan_.tile_uses)
            if (use.tile == t) launches_[use.kernel].buffers[use.argument] = reinterpret_cast<void*>(first);
        if (is_zeroed(t)) zeroed.push_back({place, static_cast<std::uint64_t>(tile_bytes(tile, window.end - window.begin))});
    }
    return zeroed;
}

void CudaLaunchSequence::enqueue(const EdgeWindow& window, std::span<const MemoryRange> zeroed, LaunchGraph* into) {
    for (std::size_t k = 0; k < modules_.size(); ++k) {
        LaunchArguments& launch = launches_[k];
        launch.rows = rows_of(k, window);
        launch.window = window;
        launch.follows = plan_.kernels[k].windows && (k > 0 || window.begin > 0);
        launch.graph = into;
        launch.zeroed = k == 0 ? zeroed : std::span<const MemoryRange>();
        modules_[k]->launch(launch, 0, launch.rows);
    }
}

/// False where this launch is not of the kernels that the graphs have: without rows there is no launch, without outputs to zero one less.
bool CudaLaunchSequence::enqueue_graph(LaunchGraphs& graphs, const EdgeWindow& window, std::span<const MemoryRange> zeroed) {
    if (graphs.kernels() != modules_.size() + !zeroed.empty()) return false;
    for (std::size_t k = 0; k < modules_.size(); ++k)
        if (rows_of(k, window) == 0) return false;
    return graphs.launch(stream_, [&](LaunchGraph& graph) { enqueue(window, zeroed, &graph); });
}

void CudaLaunchSequence::enqueue(std::span<void* const> operands, const std::vector<MemoryRange>& between, const Means& means) {
    const ScratchPool* const scratch = means.scratch;
    std::vector<void*> pointers(operands.begin(), operands.end());
    for (const MemoryRange& range : between) pointers.push_back(range.data);
    pointers.resize(operands.size() + plan_.tiles.size());
    const std::int64_t step = window_edges(plan_, graph_.edges);
    prepare(pointers, {0, step, graph_.receivers});
    std::vector<MemoryRange> zeroed = zeroed_outputs(operands);
    for (std::size_t t = 0; t < between.size(); ++t)
        if (is_zeroed(t) && between[t].bytes > 0) zeroed.push_back(between[t]);
    if (means.graphs && enqueue_graph(*means.graphs, {0, graph_.edges, graph_.receivers}, zeroed)) return;
    const ScratchPool::Borrowed memory(scratch, scratch ? scratch_bytes(plan_, graph_.edges) : 0, stream_);
    std::int64_t begin = 0;
    do {
        const EdgeWindow window{begin, std::min(graph_.edges, begin + step), graph_.receivers};
        if (scratch)
            for (const MemoryRange& tile : place_tiles(memory.data(), window)) zeroed.push_back(tile);
        enqueue(window, zeroed, means.into);
        zeroed.clear();
        begin = window.end;
    } while (begin < graph_.edges);
}

}  // namespace flashtp
