// How the rows of a launch are spread over CPU threads, and what keeps their additions apart.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "runtime/arguments.hpp"
#include "runtime/backend.hpp"
#include "runtime/graph_view.hpp"
#include "runtime/launch_plan.hpp"
#include "runtime/per_process.hpp"
#include "runtime/thread_pool.hpp"

namespace flashtp {

struct RowRange {
    std::int64_t begin = 0, end = 0;
    bool empty() const { return begin >= end; }
    friend bool operator==(const RowRange&, const RowRange&) = default;
};

/// Consecutive ranges of receivers with about the same number of edges each; a receiver costs as much as an edge, so that
/// isolated ones are spread too. Some may be empty.
std::vector<RowRange> split_receivers(const GraphView&, int parts);
/// Consecutive ranges of [0, count) that differ by at most one in size.
std::vector<RowRange> split_evenly(std::int64_t count, int parts);

/// Runs kernels on the calling thread and helpers. Memory for private copies is kept between runs. Thread-safe.
class CpuRunner {
  public:
    /// Of a deterministic plan not even the number of threads changes the bits.
    explicit CpuRunner(const LaunchPlan&);
    ~CpuRunner();

    /// Same operands, graph and number of threads give the same bits: every thread adds to its own copy of rows that several
    /// threads write, and copies are added in the order of threads. In a deterministic run the parts that have copies follow from
    /// the graph, and a thread works through several of them.
    void run(std::span<void* const> operands, const GraphView&, std::span<const std::unique_ptr<Module>> modules, int threads,
             const ParallelFor& pool);

  private:
    /// Consecutive kernels over the same rows, or all that tiles connect: they take turns on each block of rows, so that caches serve
    /// all of them.
    struct Pass {
        std::size_t first = 0, last = 0;  ///< kernels [first, last)
        bool receiver_rows = false;
    };
    class AlignedMemory;
    struct Memory;  ///< private copies of one run, and its tiles
    struct Run;     ///< one run's state

    std::unique_ptr<Memory> take_memory();
    void give_back(std::unique_ptr<Memory>);

    int parts_of(const GraphView&, int threads) const;
    RowRange block_at(const GraphView&, const Pass&, std::int64_t begin, std::int64_t end) const;
    std::int64_t most_edges_in_block(const GraphView&, const Pass&, RowRange rows) const;
    void prepare_tiles(Run&) const;
    void place_tiles(const Run&, int part, RowRange edges, std::vector<LaunchArguments>&) const;
    void zero_tiles(const Run&, int part, std::size_t kernel, RowRange edges) const;
    std::int64_t tile_row_bytes(std::size_t tile) const;
    void prepare(Run&) const;
    void zero(const Run&, int thread) const;
    void set_arguments(Run&, int part) const;
    void run_pass(const Run&, std::size_t pass, int part) const;
    void add_copies(const Run&, int thread) const;

    std::vector<ArgumentList> arguments_;  ///< by kernel
    std::vector<Pass> passes_;
    std::vector<OutputRule> outputs_;
    std::vector<ProgramOperand> tiles_;
    std::vector<TileUse> tile_uses_;
    std::vector<bool> receiver_rows_;  ///< by kernel
    std::int64_t edge_bytes_, edges_per_block_;
    bool deterministic_;
    struct Idle {
        std::mutex mutex;
        std::vector<std::unique_ptr<Memory>> memories;
    };
    PerProcess<Idle> idle_;
};

}  // namespace flashtp
