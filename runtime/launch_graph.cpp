#include "runtime/launch_graph.hpp"

#include <algorithm>

#include "ir/error.hpp"
#include "runtime/device.hpp"

namespace flashtp {

namespace {

/// What is put on the stream in its scope goes into a graph.
class Capture {
  public:
    explicit Capture(CudaStream stream) : stream_(stream) {
        constexpr int relaxed = 2;  // captures and allocations of other threads are no concern of this one
        const Driver& driver = Driver::get();
        driver.check(driver.begin_capture(stream, relaxed), "cuStreamBeginCapture");
    }
    ~Capture() {
        CudaGraph graph = nullptr;
        if (!ended_ && Driver::get().end_capture(stream_, &graph) == 0) Driver::get().destroy_graph(graph);
    }
    Capture(const Capture&) = delete;
    Capture& operator=(const Capture&) = delete;

    CudaGraph end() {
        ended_ = true;
        CudaGraph graph = nullptr;
        Driver::get().check(Driver::get().end_capture(stream_, &graph), "cuStreamEndCapture");
        return graph;
    }

  private:
    CudaStream stream_;
    bool ended_ = false;
};

}  // namespace

LaunchGraph::LaunchGraph(const Enqueue& enqueue) {
    const Driver& driver = Driver::get();
    const CurrentContext current;
    context_ = current.get();
    const AllowedDuringCapture allowed;
    const DeviceStream stream;
    Capture capture(stream.get());
    enqueue(stream.get(), nullptr);
    graph_ = capture.end();
    try {
        instantiate(graph_);
        enqueue(stream.get(), this);  // every launch finds its node
        driver.check(driver.upload_graph(exec_, stream.get()), "cuGraphUpload");
        stream.synchronize();
    } catch (...) {
        if (exec_) driver.destroy_graph_exec(exec_);
        driver.destroy_graph(graph_);
        throw;
    }
}

void LaunchGraph::instantiate(CudaGraph graph) {
    const Driver& driver = Driver::get();
    std::size_t count = 0;
    driver.check(driver.graph_nodes(graph, nullptr, &count), "cuGraphGetNodes");
    std::vector<CudaGraphNode> nodes(count);
    driver.check(driver.graph_nodes(graph, nodes.data(), &count), "cuGraphGetNodes");
    for (const CudaGraphNode node : nodes) {
        CudaKernelNode kernel{};
        driver.check(driver.kernel_node(node, &kernel), "cuGraphKernelNodeGetParams");
        nodes_.push_back({node, kernel.function});
    }
    driver.check(driver.instantiate_graph(&exec_, graph, 0), "cuGraphInstantiate");
}

LaunchGraph::~LaunchGraph() {
    try {
        const Driver& driver = Driver::get();
        const CurrentContext current(context_);
        const AllowedDuringCapture allowed;
        driver.destroy_graph_exec(exec_);
        driver.destroy_graph(graph_);
    } catch (const DeviceError&) {
        // The context is gone, and the graph with it.
    }
}

void LaunchGraph::set(const CudaLaunch& launch, CudaFunction function, void** arguments) {
    const auto found = std::ranges::find(nodes_, function, &Node::function);
    if (found == nodes_.end()) throw DeviceError("a launch is not part of its graph");
    CudaKernelNode kernel{};
    kernel.function = function;
    kernel.grid_x = launch.grid_x, kernel.grid_y = launch.grid_y, kernel.grid_z = launch.grid_z;
    kernel.block_x = launch.block_x, kernel.block_y = launch.block_y, kernel.block_z = launch.block_z;
    kernel.shared_bytes = launch.shared_bytes;
    kernel.arguments = arguments;
    const Driver& driver = Driver::get();
    driver.check(driver.set_kernel_node(exec_, found->node, &kernel), "cuGraphExecKernelNodeSetParams");
}

void LaunchGraph::launch(CudaStream stream) {
    Driver::get().check(Driver::get().launch_graph(exec_, stream), "cuGraphLaunch");
}

LaunchGraphs::LaunchGraphs(const LaunchGraph::Enqueue& enqueue) {
    try {
        for (int i = 0; i < streams_with_graphs; ++i) graphs_.push_back({std::make_unique<LaunchGraph>(enqueue), nullptr, false});
    } catch (const ContextLostError&) {
        throw;
    } catch (const DeviceError&) {
        // Drivers before CUDA 12.3 cannot capture kernels that overlap.
    }
}

bool LaunchGraphs::launch(CudaStream stream, const std::function<void(LaunchGraph&)>& set) {
    if (graphs_.empty() || is_capturing(stream)) return false;
    const std::lock_guard lock(mutex_);
    auto found = std::ranges::find_if(graphs_, [&](const OfStream& of) { return of.taken && of.stream == stream; });
    if (found == graphs_.end()) found = std::ranges::find(graphs_, false, &OfStream::taken);
    if (found == graphs_.end()) return false;
    found->stream = stream, found->taken = true;
    set(*found->graph);
    found->graph->launch(stream);
    return true;
}

}  // namespace flashtp
