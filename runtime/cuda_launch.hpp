// What a launch enqueues on a stream: zeros and kernels, and where a layer's weights are between kernels, window after window.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "runtime/backend.hpp"
#include "runtime/graph_view.hpp"
#include "runtime/launch_graph.hpp"
#include "runtime/launch_plan.hpp"
#include "runtime/scratch_pool.hpp"

namespace flashtp {

/// One launch of a plan.
class CudaLaunchSequence {
  public:
    CudaLaunchSequence(const LaunchPlan&, std::span<const std::unique_ptr<Module>>, const GraphView&, void* stream);

    /// What a launch needs besides its operands, or null.
    struct Means {
        const ScratchPool* scratch;  ///< for a plan with windows
        LaunchGraphs* graphs;        ///< for a plan without
        LaunchGraph* into;           ///< gets all launches instead of the stream
    };
    /// `between` is where the tiles of a plan without windows are.
    void enqueue(std::span<void* const> operands, const std::vector<MemoryRange>& between, const Means&);

    /// Scratch memory of a launch with that many edges.
    static std::int64_t scratch_bytes(const LaunchPlan&, std::int64_t edges);

  private:
    LaunchShape shape_of(std::size_t kernel, std::int64_t edges) const;
    std::int64_t rows_of(std::size_t kernel, const EdgeWindow&) const;
    std::vector<MemoryRange> zeroed_outputs(std::span<void* const> operands) const;
    bool is_zeroed(std::size_t tile) const;
    void prepare(std::span<void* const> operands, const EdgeWindow& largest);
    std::vector<MemoryRange> place_tiles(std::byte* scratch, const EdgeWindow&);
    bool enqueue_graph(LaunchGraphs&, const EdgeWindow&, std::span<const MemoryRange> zeroed);
    void enqueue(const EdgeWindow&, std::span<const MemoryRange> zeroed, LaunchGraph* into);

    const LaunchPlan& plan_;
    std::span<const std::unique_ptr<Module>> modules_;
    const GraphView& graph_;
    void* stream_;
    std::vector<LaunchArguments> launches_;  ///< by kernel
};

}  // namespace flashtp
