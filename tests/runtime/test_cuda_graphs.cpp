// One captured CUDA graph for edge lists of changing length. What a device is not needed for runs in the interpreter; without a device
// the others say SKIPPED.
#include <algorithm>
#include <functional>
#include <limits>
#include <memory>
#include <span>
#include <vector>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include "compiler/pipeline.hpp"
#include "ir/error.hpp"
#include "ir/interpret.hpp"
#include "runtime/arguments.hpp"
#include "runtime/device.hpp"
#include "runtime/driver.hpp"
#include "runtime/edges.hpp"
#include "runtime/engine.hpp"
#include "runtime/self_check.hpp"
#include "runtime/shared_library.hpp"
#include "tests/runtime/memory_only.hpp"
#include "tests/support/device_or_skip.hpp"

using namespace flashtp;
using namespace flashtp::test;

namespace {

constexpr std::int64_t graph_capacity = 400, graph_nodes = 20;

Problem problem_of_graphs(bool convolution) {
    return parse_problem(fmt::format(R"({{"irreps_in1": "32x0e+32x1o", "irreps_in2": "0e+1o", "irreps_out": "32x0e+32x1o",
        "instructions": [[0, 0, 0, "uvu", true], [0, 1, 1, "uvu", true], [1, 1, 0, "uvu", true]], "convolution": {}}})",
                                     convolution));
}

Sample sample_of(const Problem& problem, const Request& request, std::int64_t edges) {
    return random_sample(problem, operands_of(problem, request),
                         {.edges = edges, .nodes = graph_nodes, .seed = static_cast<std::uint64_t>(edges) + 1});
}

void check_outputs(const Problem& problem, const Request& request, const Sample& sample, const Tensors& found) {
    for (const OutputCheck& check : compare(expect(problem, request, sample), found, epsilon(problem.dtype))) {
        INFO(fmt::format("{}[{}][{}] is {}, expected {}", check.output, check.row, check.column, check.found, check.expected));
        CHECK(check.ok());
    }
}

/// Of what capturing needs and this library itself does not.
struct GraphApi {
    CudaStatus (*begin_capture)(CudaStream, int);
    CudaStatus (*end_capture)(CudaStream, void**);
    CudaStatus (*instantiate)(void**, void*, unsigned long long);
    CudaStatus (*launch)(void*, CudaStream);

    GraphApi() {
        std::string error;
        const auto driver = SharedLibrary::open("libcuda.so.1", error);
        REQUIRE(driver);
        driver->bind(begin_capture, "cuStreamBeginCapture_v2");
        driver->bind(end_capture, "cuStreamEndCapture");
        driver->bind(instantiate, "cuGraphInstantiateWithFlags");
        driver->bind(launch, "cuGraphLaunch");
    }

    void* capture(const DeviceStream& stream, const std::function<void()>& work) const {
        const Driver& driver = Driver::get();
        void *graph = nullptr, *executable = nullptr;
        driver.check(begin_capture(stream.get(), 0), "cuStreamBeginCapture");
        work();
        driver.check(end_capture(stream.get(), &graph), "cuStreamEndCapture");
        driver.check(instantiate(&executable, graph, 0), "cuGraphInstantiate");
        return executable;
    }
};

/// A request's operands, edges and index on a device, with room for graph_capacity edges.
class Replayed {
  public:
    Replayed(Engine& engine, bool convolution, int order)
        : problem_(problem_of_graphs(convolution)), request_{order, {}, {}},
          program_(engine.compile(problem_, request_, engine.target("cuda"))) {
        const std::int64_t nodes = convolution ? graph_nodes : graph_capacity;
        graph_ = {graph_capacity, nodes, nodes, ints(row_ptr_), ints(by_position_), ints(edge_), counter()};
        if (!convolution) graph_.row_ptr = graph_.sender = graph_.edge = nullptr;
        for (const ProgramOperand& o : program_->operands())
            operands_.emplace_back(static_cast<std::size_t>(graph_.rows(o.row) * o.width) * size_of(o.dtype));
        program_->prepare();
        engine.indexer().prepare(engine);
    }

    void enqueue(Engine& engine, const DeviceStream& stream) {
        if (problem_.convolution)
            engine.indexer().build(engine, {sender_.data(), receiver_.data(), 32, graph_capacity, graph_nodes, graph_nodes, counter()},
                                   {ints(row_ptr_), ints(by_position_), ints(edge_)},
                                   static_cast<DeviceIndexReport*>(report_.data()), workspace_.data(), workspace_.bytes(),
                                   stream.get());
        std::vector<void*> pointers;
        for (const DeviceBuffer& operand : operands_) pointers.push_back(operand.data());
        program_->launch_cuda(pointers, graph_, stream.get());
    }

    /// Other edges, other numbers, and rows beyond them that nothing may read.
    void check(std::int64_t edges, const std::function<void()>& replay) {
        CAPTURE(edges);
        const Sample sample = sample_of(problem_, request_, edges);
        HostOperands host(program_->operands(), sample);
        const std::vector<std::span<std::byte>> memory = host.memory();
        for (std::size_t i = 0; i < operands_.size(); ++i) {
            operands_[i].fill(0xff);
            operands_[i].upload(memory[i].data(), memory[i].size());
        }
        sender_.fill(0xff), receiver_.fill(0xff);
        sender_.upload(sample.graph.sender.data(), 4 * sample.graph.sender.size());
        receiver_.upload(sample.graph.receiver.data(), 4 * sample.graph.receiver.size());
        count_.upload(&edges, sizeof edges);
        replay();
        for (std::size_t i = 0; i < operands_.size(); ++i)
            if (program_->operands()[i].role == Role::output) operands_[i].download(memory[i].data(), memory[i].size());
        check_outputs(problem_, request_, sample, host.outputs());
    }

    std::int64_t first_invalid() const {
        DeviceIndexReport report;
        report_.download(&report, sizeof report);
        return report.first_invalid;
    }
    void set_count(std::int64_t edges) { count_.upload(&edges, sizeof edges); }

  private:
    static std::int32_t* ints(const DeviceBuffer& buffer) { return static_cast<std::int32_t*>(buffer.data()); }
    const std::int64_t* counter() const { return static_cast<const std::int64_t*>(count_.data()); }

    Problem problem_;
    Request request_;
    std::shared_ptr<Program> program_;
    DeviceBuffer row_ptr_{4 * (graph_nodes + 1)}, by_position_{4 * graph_capacity}, edge_{4 * graph_capacity},
        sender_{4 * graph_capacity}, receiver_{4 * graph_capacity}, count_{8}, report_{sizeof(DeviceIndexReport)},
        workspace_{device_index_workspace(graph_capacity, graph_nodes)};
    GraphView graph_;
    std::vector<DeviceBuffer> operands_;
};

/// A kernel's arguments where all arrays have room for more edges than there are: numbers are NaN beyond, indices out of range.
struct RoomyArguments {
    RoomyArguments(const Lowered& lowered, const Problem& problem, const Sample& sample)
        : signature_(plan_of(lowered, problem.dtype).operands), host_(signature_, sample), index_(receiver_index(sample.graph)) {
        constexpr std::int32_t invalid = std::numeric_limits<std::int32_t>::max();
        index_.sender.resize(graph_capacity, invalid);
        if (!index_.edge.empty()) index_.edge.resize(graph_capacity, invalid);
        const std::vector<std::span<std::byte>> memory = host_.memory();
        for (std::size_t i = 0; i < signature_.size(); ++i) {
            const std::int64_t rows = signature_[i].row == Row::edge ? graph_capacity : sample.graph.rows(signature_[i].row);
            roomy_.emplace_back(static_cast<std::size_t>(rows * signature_[i].width), std::numeric_limits<float>::quiet_NaN());
            if (signature_[i].role == Role::input) std::ranges::copy(memory[i], std::as_writable_bytes(std::span(roomy_[i])).begin());
        }
        for (const OutputRule& rule : output_rules(lowered.kernels, lowered.edge.operands, problem.dtype))
            if (rule.zeroed) std::ranges::fill(roomy_[static_cast<std::size_t>(rule.operand)], 0.0f);
    }

    InterpreterArguments of(const Kernel& kernel) {
        InterpreterArguments arguments{.rows = graph_nodes, .complete_outputs = false};
        for (const Buffer& buffer : kernel.buffers) {
            if (buffer.kind == BufferKind::table) continue;
            const auto at = std::ranges::find(signature_, buffer.name, &ProgramOperand::name) - signature_.begin();
            std::vector<std::int32_t>& ints =
                buffer.name == "row_ptr" ? index_.row_ptr : buffer.name == "sender" ? index_.sender : index_.edge;
            if (buffer.kind == BufferKind::index)
                arguments.buffers.push_back({ints.empty() ? nullptr : ints.data(), static_cast<std::int64_t>(ints.size())});
            else
                arguments.buffers.push_back({roomy_[static_cast<std::size_t>(at)].data(),
                                             static_cast<std::int64_t>(roomy_[static_cast<std::size_t>(at)].size())});
        }
        return arguments;
    }

    Tensors outputs() {
        const std::vector<std::span<std::byte>> memory = host_.memory();
        for (std::size_t i = 0; i < signature_.size(); ++i)
            if (signature_[i].role == Role::output) std::ranges::copy(std::as_bytes(std::span(roomy_[i])).first(memory[i].size()), memory[i].begin());
        return host_.outputs();
    }

  private:
    std::vector<ProgramOperand> signature_;
    HostOperands host_;
    ReceiverIndex index_;
    std::vector<std::vector<float>> roomy_;
};

}  // namespace

TEST_CASE("a convolution's kernels take the number of edges from row_ptr alone") {
    const Problem problem = problem_of_graphs(true);
    for (const int order : {0, 1, 2}) {
        for (const std::int64_t edges : {0, 1, 77, 399}) {
            CAPTURE(order);
            CAPTURE(edges);
            const Request request{order, {}, {}};
            const Lowered lowered = lower(problem, request, cuda_target("sm_90a"), {});
            const Sample sample = sample_of(problem, request, edges);
            RoomyArguments arguments(lowered, problem, sample);
            for (const Kernel& kernel : lowered.kernels) interpret(kernel, arguments.of(kernel));
            check_outputs(problem, request, sample, arguments.outputs());
        }
    }
}

TEST_CASE("cuda: a captured graph follows the number of edges in device memory") {
    if (!device_or_skip()) return;
    const GraphApi api;
    const CurrentContext current;
    Engine engine(memory_only());
    for (const bool convolution : {true, false}) {
        for (const int order : {0, 1, 2}) {
            CAPTURE(convolution);
            CAPTURE(order);
            Replayed replayed(engine, convolution, order);
            const DeviceStream stream;
            void* const graph = api.capture(stream, [&] { replayed.enqueue(engine, stream); });
            const auto replay = [&] {
                Driver::get().check(api.launch(graph, stream.get()), "cuGraphLaunch");
                stream.synchronize();
            };
            // All rows are edges at last, so that a count beyond them is the only fault.
            for (const std::int64_t edges : {123, 0, 1, 399, 400}) replayed.check(edges, replay);
            if (!convolution) continue;
            CHECK(replayed.first_invalid() == -1);
            replayed.set_count(graph_capacity + 1);
            replay();
            CHECK(replayed.first_invalid() == graph_capacity);
        }
    }
}

TEST_CASE("edge_count is refused on a CPU") {
    Engine engine(memory_only());
    const Problem problem = problem_of_graphs(false);
    const auto program = engine.compile(problem, {0, {}, {}}, engine.target("cpu"));
    const std::int64_t count = 0;
    GraphView graph;
    graph.edge_count = &count;
    const std::vector<void*> none(program->operands().size());
    CHECK_THROWS_WITH_AS(program->run_cpu(none, graph, 1), "edge_count is for CUDA; it must be null", UserError);
}
