// The launches of a program as an instantiated CUDA graph: setting the parameters of its nodes and launching it takes the host less than
// half as long as launching two kernels.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "runtime/driver.hpp"

namespace flashtp {

/// Of the context it was made in. Not thread-safe.
class LaunchGraph {
  public:
    /// Puts kernels, each once, on the stream or, where there is a graph, into that.
    using Enqueue = std::function<void(CudaStream, LaunchGraph*)>;
    /// Throws DeviceError where the driver cannot do it.
    explicit LaunchGraph(const Enqueue&);
    ~LaunchGraph();
    LaunchGraph(const LaunchGraph&) = delete;
    LaunchGraph& operator=(const LaunchGraph&) = delete;

    /// Of the next launch, the node of this function; launches before keep what they had.
    void set(const CudaLaunch&, CudaFunction, void** arguments);
    /// Every node has to be set before.
    void launch(CudaStream);
    std::size_t kernels() const { return nodes_.size(); }

  private:
    struct Node {
        CudaGraphNode node;
        CudaFunction function;
    };
    void instantiate(CudaGraph);

    CudaContext context_ = nullptr;
    CudaGraphExec exec_ = nullptr;
    CudaGraph graph_ = nullptr;
    std::vector<Node> nodes_;
};

/// Streams that a program is launched on at a time, in all but rare cases.
inline constexpr int streams_with_graphs = 2;

/// So many of them, each for one stream: two streams with one graph would wait for each other. Thread-safe.
class LaunchGraphs {
  public:
    /// Makes all of them, so that launches allocate nothing; none where the driver cannot.
    explicit LaunchGraphs(const LaunchGraph::Enqueue&);

    /// Calls `set` with the graph of the stream and launches it. False where other streams have them all, or this one is being captured.
    bool launch(CudaStream, const std::function<void(LaunchGraph&)>& set);
    /// Of a graph; 0 where there is none.
    std::size_t kernels() const { return graphs_.empty() ? 0 : graphs_.front().graph->kernels(); }

  private:
    struct OfStream {
        std::unique_ptr<LaunchGraph> graph;
        CudaStream stream;
        bool taken;
    };
    std::mutex mutex_;
    std::vector<OfStream> graphs_;
};

}  // namespace flashtp
