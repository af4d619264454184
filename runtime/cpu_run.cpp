#include "runtime/cpu_run.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>

#include "ir/error.hpp"

namespace flashtp {
namespace {

/// Tasks and chunks take turns on a block, each reading a slice of its rows: a block's edge rows should stay in a core's caches.
constexpr std::int64_t block_bytes = 128 * 1024, most_edges_per_block = 256, rows_per_block = 256;
/// Parts of a deterministic run: more threads than these find no work.
constexpr std::int64_t least_parts = 4, most_parts = 64;

std::int64_t bytes_of_an_edge(const std::vector<ProgramOperand>& operands) {
    std::int64_t bytes = sizeof(std::int32_t);  // its place in the index
    for (const ProgramOperand& operand : operands)
        if (operand.row == Row::edge) bytes += operand.width * static_cast<std::int64_t>(size_of(operand.dtype));
    return bytes;
}

std::int64_t edges_in_block(std::int64_t edge_bytes) {
    return std::clamp<std::int64_t>(block_bytes / edge_bytes, 8, most_edges_per_block);
}

template <class T>
void add(std::byte* to, const std::byte* from, std::int64_t count) {
    T* const sum = reinterpret_cast<T*>(to);
    const T* const term = reinterpret_cast<const T*>(from);
    for (std::int64_t i = 0; i < count; ++i) sum[i] += term[i];
}

RowRange common(RowRange a, RowRange b) { return {std::max(a.begin, b.begin), std::min(a.end, b.end)}; }

void extend(RowRange& range, std::int64_t row) {
    if (range.empty()) range = {row, row + 1};
    range = {std::min(range.begin, row), std::max(range.end, row + 1)};
}

}  // namespace

std::vector<RowRange> split_evenly(std::int64_t count, int parts) {
    std::vector<RowRange> ranges;
    std::int64_t begin = 0;
    for (int part = 0; part < parts; ++part) {
        const std::int64_t end = begin + count / parts + (part < count % parts);
        ranges.push_back({begin, end});
        begin = end;
    }
    return ranges;
}

std::vector<RowRange> split_receivers(const GraphView& graph, int parts) {
    if (graph.receivers == 0) return std::vector<RowRange>(static_cast<std::size_t>(parts));
    const auto cost = [&](std::int64_t row) { return graph.row_ptr[row] + row; };
    const std::int64_t total = cost(graph.receivers);
    std::vector<RowRange> ranges;
    std::int64_t begin = 0;
    for (int part = 1; part <= parts; ++part) {
        // The first row at which this part's share is reached, by bisection.
        std::int64_t low = begin, high = graph.receivers;
        while (low < high) {
            const std::int64_t middle = low + (high - low) / 2;
            if (static_cast<double>(cost(middle)) * parts < static_cast<double>(total) * part)
                low = middle + 1;
            else
                high = middle;
        }
        if (part == parts) low = graph.receivers;
        ranges.push_back({begin, low});
        begin = low;
    }
    return ranges;
}

/// Grows and never shrinks; what it held is lost when it grows.
class CpuRunner::AlignedMemory {
  public:
    ~AlignedMemory() { std::free(data_); }
    AlignedMemory() = default;
    AlignedMemory(const AlignedMemory&) = delete;
    AlignedMemory& operator=(const AlignedMemory&) = delete;

    std::byte* at_least(std::int64_t bytes) {
        if (bytes <= size_) return data_;
        std::free(data_);
        size_ = (bytes + 63) / 64 * 64;
        data_ = static_cast<std::byte*>(std::aligned_alloc(64, static_cast<std::size_t>(size_)));
        if (!data_) {
            size_ = 0;
            throw std::bad_alloc();
        }
        return data_;
    }

  private:
    std::byte* data_ = nullptr;
    std::int64_t size_ = 0;
};

struct CpuRunner::Memory {
    std::vector<std::vector<AlignedMemory>> copies;  ///< by output and part; the first part needs none, it adds to the output itself
    std::vector<std::vector<AlignedMemory>> tiles;   ///< by tile and part
};

struct CpuRunner::Run {
    std::span<void* const> operands;
    const GraphView& graph;
    std::span<const std::unique_ptr<Module>> modules;
    int threads;
    int parts;  ///< pieces of the work with private copies of their own: a thread's, or several to a thread
    Memory* memory = nullptr;
    std::vector<std::vector<RowRange>> rows;             ///< by pass, part
    std::vector<std::vector<RowRange>> touched;          ///< by output with shared rows, part: rows the private copy holds
    std::vector<std::vector<std::byte*>> copies;         ///< by output, part; for the rows in `touched`
    std::vector<std::vector<LaunchArguments>> launches;  ///< by part, kernel
    std::vector<std::vector<std::byte*>> tiles;          ///< by tile, part

    std::byte* output(const OutputRule& o) const {
        return static_cast<std::byte*>(operands[static_cast<std::size_t>(o.operand)]);
    }
    bool is_private(const OutputRule& o, int part) const { return o.shared_rows && part > 0; }

    /// Calls visit for the parts of a thread, in order.
    template <class Visit>
    void for_each_part(int thread, Visit visit) const {
        const RowRange mine = split_evenly(parts, threads)[static_cast<std::size_t>(thread)];
        for (std::int64_t part = mine.begin; part < mine.end; ++part) visit(static_cast<int>(part));
    }
};

CpuRunner::CpuRunner(const LaunchPlan& plan)
    : arguments_(plan.arguments), outputs_(plan.outputs), tiles_(plan.tiles), tile_uses_(plan.tile_uses),
      edge_bytes_(bytes_of_an_edge(plan.operands)), edges_per_block_(tiles_.empty() ? edges_in_block(edge_bytes_) : std::max<std::int64_t>(1, plan.tile_edges)),
      deterministic_(plan.deterministic) {
    const bool convolution = std::ranges::any_of(plan.kernels, &KernelFacts::receiver_rows);
    for (std::size_t k = 0; k < plan.kernels.size(); ++k) {
        receiver_rows_.push_back(plan.kernels[k].receiver_rows);
        const bool by_receiver = tiles_.empty() ? plan.kernels[k].receiver_rows : convolution;
        if (passes_.empty() || passes_.back().receiver_rows != by_receiver) passes_.push_back({k, k, by_receiver});
        passes_.back().last = k + 1;
    }
}

CpuRunner::~CpuRunner() = default;

std::unique_ptr<CpuRunner::Memory> CpuRunner::take_memory() {
    Idle& idle = idle_.get();
    const std::lock_guard lock(idle.mutex);
    if (idle.memories.empty()) return std::make_unique<Memory>();
    std::unique_ptr<Memory> memory = std::move(idle.memories.back());
    idle.memories.pop_back();
    return memory;
}

void CpuRunner::give_back(std::unique_ptr<Memory> memory) {
    Idle& idle = idle_.get();
    const std::lock_guard lock(idle.mutex);
    idle.memories.push_back(std::move(memory));
}

namespace {

/// Sender rows of the edges of these receivers: with neighbours near each other in memory, far fewer than all.
RowRange senders_of(const GraphView& graph, RowRange receivers) {
    RowRange range;
    if (receivers.empty()) return range;
    for (std::int64_t i = graph.row_ptr[receivers.begin]; i < graph.row_ptr[receivers.end]; ++i) extend(range, graph.sender[i]);
    return range;
}

}  // namespace

// Where the bits must not depend on the threads, neither may the parts: as many as keep zeroing and adding their copies cheap
// beside reading the edges' rows.
int CpuRunner::parts_of(const GraphView& graph, int threads) const {
    std::int64_t copied = 0;
    for (const OutputRule& output : outputs_)
        if (output.shared_rows) copied += graph.rows(output.row) * output.row_bytes();
    if (!deterministic_ || copied == 0) return threads;
    return static_cast<int>(std::clamp<std::int64_t>(graph.edges * edge_bytes_ / (16 * copied), least_parts, most_parts));
}

void CpuRunner::prepare(Run& run) const {
    for (const Pass& pass : passes_) {
        run.rows.push_back(pass.receiver_rows ? split_receivers(run.graph, run.parts)
                                              : split_evenly(run.graph.edges, run.parts));
    }
    run.memory->copies.resize(outputs_.size());
    for (std::size_t o = 0; o < outputs_.size(); ++o) {
        const OutputRule& output = outputs_[o];
        auto& touched = run.touched.emplace_back(run.parts, RowRange{0, run.graph.rows(output.row)});
        auto& copies = run.copies.emplace_back(run.parts, nullptr);
        if (!output.shared_rows) continue;
        if (run.memory->copies[o].size() < static_cast<std::size_t>(run.parts)) {
            run.memory->copies[o] = std::vector<AlignedMemory>(run.parts);
        }
        const bool by_sender = output.row == Row::sender && passes_.size() == 1 && passes_[0].receiver_rows && run.graph.sender;
        for (int part = 1; part < run.parts; ++part) {
            if (by_sender) touched[part] = senders_of(run.graph, run.rows[0][part]);
            const std::int64_t rows = touched[part].end - touched[part].begin;
            copies[part] = run.memory->copies[o][part].at_least(rows * output.row_bytes());
        }
    }
    for (int part = 0; part < run.parts; ++part) set_arguments(run, part);
    prepare_tiles(run);
}

RowRange CpuRunner::block_at(const GraphView& graph, const Pass& pass, std::int64_t begin, std::int64_t end) const {
    if (!pass.receiver_rows) return {begin, std::min(end, begin + edges_per_block_)};
    const std::int64_t last = std::min(end, begin + rows_per_block);
    std::int64_t row = begin + 1;
    while (row < last && graph.row_ptr[row + 1] - graph.row_ptr[begin] <= edges_per_block_) ++row;
    return {begin, row};
}

// More than a block's share where one receiver has more.
std::int64_t CpuRunner::most_edges_in_block(const GraphView& graph, const Pass& pass, RowRange rows) const {
    std::int64_t most = std::min(edges_per_block_, graph.edges);
    if (!pass.receiver_rows) return most;
    for (std::int64_t row = rows.begin; row < rows.end; ++row)
        most = std::max<std::int64_t>(most, graph.row_ptr[row + 1] - graph.row_ptr[row]);
    return most;
}

std::int64_t CpuRunner::tile_row_bytes(std::size_t tile) const {
    return tiles_[tile].width * static_cast<std::int64_t>(size_of(tiles_[tile].dtype));
}

void CpuRunner::prepare_tiles(Run& run) const {
    run.memory->tiles.resize(tiles_.size());
    for (std::size_t t = 0; t < tiles_.size(); ++t) {
        auto& memory = run.memory->tiles[t];
        if (memory.size() < static_cast<std::size_t>(run.parts)) memory = std::vector<AlignedMemory>(run.parts);
        auto& tiles = run.tiles.emplace_back();
        for (int part = 0; part < run.parts; ++part) {
            const std::int64_t edges = most_edges_in_block(run.graph, passes_[0], run.rows[0][part]);
            tiles.push_back(memory[part].at_least(edges * tile_row_bytes(t)));
        }
    }
}

/// Kernels address the rows of a tile by the edges' positions.
void CpuRunner::place_tiles(const Run& run, int part, RowRange edges, std::vector<LaunchArguments>& launches) const {
    for (const TileUse& use : tile_uses_) {
        const auto before = static_cast<std::uintptr_t>(edges.begin * tile_row_bytes(use.tile));
        launches[use.kernel].buffers[use.argument] =
            reinterpret_cast<void*>(reinterpret_cast<std::uintptr_t>(run.tiles[use.tile][part]) - before);
    }
}

void CpuRunner::zero(const Run& run, int thread) const {
    for (std::size_t o = 0; o < outputs_.size(); ++o) {
        const OutputRule& output = outputs_[o];
        if (!output.zeroed) continue;
        const RowRange bytes = split_evenly(run.graph.rows(output.row) * output.row_bytes(), run.threads)[thread];
        if (!bytes.empty()) std::memset(run.output(output) + bytes.begin, 0, static_cast<std::size_t>(bytes.end - bytes.begin));
        run.for_each_part(thread, [&](int part) {
            const RowRange rows = run.touched[o][part];
            if (!run.is_private(output, part) || rows.empty()) return;
            std::memset(run.copies[o][part], 0, static_cast<std::size_t>((rows.end - rows.begin) * output.row_bytes()));
        });
    }
}

/// The arguments of every kernel for one part.
void CpuRunner::set_arguments(Run& run, int part) const {
    std::vector<void*> operands(run.operands.begin(), run.operands.end());
    operands.resize(operands.size() + tiles_.size());
    for (std::size_t o = 0; o < outputs_.size(); ++o) {
        if (!run.is_private(outputs_[o], part)) continue;
        // Kernels address rows from row 0, which the copy need not hold.
        const auto before = static_cast<std::uintptr_t>(run.touched[o][part].begin * outputs_[o].row_bytes());
        operands[static_cast<std::size_t>(outputs_[o].operand)] =
            reinterpret_cast<void*>(reinterpret_cast<std::uintptr_t>(run.copies[o][part]) - before);
    }
    std::vector<LaunchArguments>& launches = run.launches.emplace_back();
    for (const Pass& pass : passes_) {
        for (std::size_t k = pass.first; k < pass.last; ++k) {
            LaunchArguments& launch = launches.emplace_back();
            launch.buffers = arguments_[k].pointers(operands, run.graph);
            launch.rows = pass.receiver_rows ? run.graph.receivers : run.graph.edges;
        }
    }
}

void CpuRunner::zero_tiles(const Run& run, int part, std::size_t kernel, RowRange edges) const {
    for (const TileUse& use : tile_uses_) {
        if (use.kernel != kernel || !use.zeroed || edges.empty()) continue;
        std::memset(run.tiles[use.tile][part], 0, static_cast<std::size_t>((edges.end - edges.begin) * tile_row_bytes(use.tile)));
    }
}

void CpuRunner::run_pass(const Run& run, std::size_t index, int part) const {
    const Pass& pass = passes_[index];
    const RowRange rows = run.rows[index][part];
    std::vector<LaunchArguments> launches = run.launches[part];  // tiles move with the blocks
    for (std::int64_t begin = rows.begin; begin < rows.end;) {
        const RowRange block = block_at(run.graph, pass, begin, rows.end);
        const RowRange edges = pass.receiver_rows ? RowRange{run.graph.row_ptr[block.begin], run.graph.row_ptr[block.end]} : block;
        place_tiles(run, part, edges, launches);
        for (std::size_t k = pass.first; k < pass.last; ++k) {
            zero_tiles(run, part, k, edges);
            const RowRange mine = receiver_rows_[k] ? block : edges;
            run.modules[k]->launch(launches[k], mine.begin, mine.end);
        }
        begin = block.end;
    }
}

void CpuRunner::add_copies(const Run& run, int thread) const {
    for (std::size_t o = 0; o < outputs_.size(); ++o) {
        const OutputRule& output = outputs_[o];
        if (!output.shared_rows) continue;
        const auto size = static_cast<std::int64_t>(size_of(output.dtype));
        // Elements, not rows: there may be one row only.
        const RowRange mine = split_evenly(run.graph.rows(output.row) * output.width, run.threads)[thread];
        for (int other = 1; other < run.parts; ++other) {
            const RowRange rows = run.touched[o][other];
            const RowRange part = common(mine, {rows.begin * output.width, rows.end * output.width});
            if (part.empty()) continue;
            std::byte* const to = run.output(output) + part.begin * size;
            const std::byte* const from = run.copies[o][other] + (part.begin - rows.begin * output.width) * size;
            if (output.dtype == DType::float32)
                add<float>(to, from, part.end - part.begin);
            else
                add<double>(to, from, part.end - part.begin);
        }
    }
}

void CpuRunner::run(std::span<void* const> operands, const GraphView& graph, std::span<const std::unique_ptr<Module>> modules,
                    int threads, const ParallelFor& pool) {
    std::unique_ptr<Memory> memory = take_memory();
    Run run{operands, graph, modules, threads, parts_of(graph, threads), memory.get(), {}, {}, {}, {}, {}};
    prepare(run);
    if (std::ranges::any_of(outputs_, &OutputRule::zeroed)) pool(threads, [&](int thread) { zero(run, thread); });
    for (std::size_t pass = 0; pass < passes_.size(); ++pass) {
        pool(threads, [&](int thread) { run.for_each_part(thread, [&](int part) { run_pass(run, pass, part); }); });
    }
    const bool several = run.parts > 1 && std::ranges::any_of(outputs_, &OutputRule::shared_rows);
    if (several) pool(threads, [&](int thread) { add_copies(run, thread); });
    give_back(std::move(memory));
}

}  // namespace flashtp
