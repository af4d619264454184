// Launches that go out as CUDA graphs. Without a device these cases say SKIPPED.
#include <memory>
#include <span>
#include <thread>
#include <vector>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include "ir/error.hpp"
#include "runtime/device.hpp"
#include "runtime/driver.hpp"
#include "runtime/edges.hpp"
#include "runtime/engine.hpp"
#include "runtime/launch_graph.hpp"
#include "runtime/self_check.hpp"
#include "tests/runtime/memory_only.hpp"
#include "tests/support/device_or_skip.hpp"

using namespace flashtp;
using namespace flashtp::test;

namespace {

Problem problem_of_launches() {
    return parse_problem(R"({"irreps_in1": "32x0e+32x1o", "irreps_in2": "0e+1o", "irreps_out": "32x0e+32x1o",
        "instructions": [[0, 0, 0, "uvu", true], [0, 1, 1, "uvu", true], [1, 1, 0, "uvu", true]]})");
}

/// Operands and index of a program on a graph of their own, and the results to be expected.
class Launched {
  public:
    Launched(const Program& program, std::int64_t edges, std::int64_t nodes)
        : program_(program), sample_(random_sample(program.problem(), operands_of(program.problem(), program.request()),
                                                   {.edges = edges, .nodes = nodes, .seed = static_cast<std::uint64_t>(edges), .sorted = true})),
          host_(program.operands(), sample_), index_(receiver_index(sample_.graph)),
          row_ptr_(DeviceBuffer::copy_of(std::span<const std::int32_t>(index_.row_ptr))),
          sender_(DeviceBuffer::copy_of(std::span<const std::int32_t>(index_.sender))) {
        for (const auto& bytes : host_.memory()) memory_.push_back(DeviceBuffer::copy_of(std::span<const std::byte>(bytes)));
    }

    void enqueue(void* stream) const {
        std::vector<void*> pointers;
        for (const DeviceBuffer& buffer : memory_) pointers.push_back(buffer.data());
        const auto array = [](const DeviceBuffer& buffer) { return static_cast<const std::int32_t*>(buffer.data()); };
        const Graph& graph = sample_.graph;
        program_.launch_cuda(pointers, {graph.edges, graph.senders, graph.receivers, array(row_ptr_), array(sender_), nullptr}, stream);
    }

    void check() {
        const std::vector<std::span<std::byte>> bytes = host_.memory();
        for (std::size_t i = 0; i < bytes.size(); ++i) memory_[i].download(bytes[i].data(), bytes[i].size());
        for (const OutputCheck& check : compare(expect(program_.problem(), program_.request(), sample_), host_.outputs(), epsilon(program_.problem().dtype))) {
            INFO(fmt::format("{}[{}][{}] is {}, expected {}", check.output, check.row, check.column, check.found, check.expected));
            CHECK(check.ok());
        }
    }

  private:
    const Program& program_;
    Sample sample_;
    HostOperands host_;
    ReceiverIndex index_;
    DeviceBuffer row_ptr_, sender_;
    std::vector<DeviceBuffer> memory_;
};

}  // namespace

TEST_CASE("cuda: launches of one program with other operands, sizes and streams do not disturb each other") {
    if (!device_or_skip()) return;
    Engine engine(memory_only());
    for (const int order : {0, 1, 2}) {
        CAPTURE(order);
        const auto program = engine.compile(problem_of_launches(), {order, {}, {}}, engine.target("cuda"));
        // More streams than have a graph; graphs of one edge, of split receivers, and of so many that a launch zeroes nothing or less.
        const DeviceStream streams[3];
        std::vector<std::unique_ptr<Launched>> launched;
        for (const std::int64_t edges : {300, 1, 2000, 40'000})
            for (int stream = 0; stream < 3; ++stream) launched.push_back(std::make_unique<Launched>(*program, edges + stream, 20 + 40 * stream));
        for (std::size_t i = 0; i < launched.size(); ++i) launched[i]->enqueue(streams[i % 3].get());
        synchronize_device();
        for (const auto& each : launched) each->check();
    }
}

TEST_CASE("cuda: threads launch one program at a time each on a stream of its own") {
    if (!device_or_skip()) return;
    const CurrentContext current;
    Engine engine(memory_only());
    const auto program = engine.compile(problem_of_launches(), {1, {}, {}}, engine.target("cuda"));
    std::vector<std::unique_ptr<Launched>> launched;
    for (int i = 0; i < 40; ++i) launched.push_back(std::make_unique<Launched>(*program, 200 + i, 20));
    std::vector<std::jthread> threads;
    for (std::size_t t = 0; t < 4; ++t)
        threads.emplace_back([&, t] {
            const CurrentContext own(current.get());
            const DeviceStream stream;
            for (std::size_t i = t; i < launched.size(); i += 4) launched[i]->enqueue(stream.get());
            stream.synchronize();
        });
    threads.clear();
    for (const auto& each : launched) each->check();
}

TEST_CASE("cuda: what is no kernel has no graph, and launches go on without") {
    if (!device_or_skip()) return;
    const CurrentContext current;
    const Driver& driver = Driver::get();
    const DeviceBuffer memory(1024);
    LaunchGraphs graphs([&](CudaStream stream, LaunchGraph*) {
        driver.check(driver.set_bytes_async(reinterpret_cast<CudaAddress>(memory.data()), 0, memory.bytes(), stream), "cuMemsetD8Async");
    });
    CHECK(graphs.kernels() == 0);
    CHECK_FALSE(graphs.launch(nullptr, [](LaunchGraph&) {}));
}
