#include "tools/flashtp_compile/bench_run.hpp"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <map>
#include <numeric>
#include <optional>
#include <random>

#include "runtime/driver.hpp"

namespace flashtp::tools {
namespace {

Graph graph_of(const Problem& problem, const BenchGraph& wanted) {
    if (!problem.convolution) return {wanted.edges, wanted.edges, wanted.edges, {}, {}};
    Graph graph{wanted.edges, wanted.nodes, wanted.nodes, {}, {}};
    std::mt19937_64 random(1);
    for (std::int64_t e = 0; e < wanted.edges; ++e) {
        graph.sender.push_back(static_cast<std::int32_t>(random() % static_cast<std::uint64_t>(wanted.nodes)));
        graph.receiver.push_back(static_cast<std::int32_t>(e * wanted.nodes / wanted.edges));
    }
    if (!wanted.sorted) std::shuffle(graph.receiver.begin(), graph.receiver.end(), random);
    return graph;
}

std::size_t bytes_of(const ProgramOperand& operand, const Graph& graph) {
    return static_cast<std::size_t>(graph.rows(operand.row) * operand.width) * size_of(operand.dtype);
}

struct alignas(64) CacheLine {
    std::byte bytes[64];
};

/// Random numbers between -1 and 1, to be repeated over operands of any size.
std::vector<std::byte> pattern(DType dtype) {
    constexpr std::size_t count = 1 << 18;
    std::vector<std::byte> bytes(count * size_of(dtype));
    std::mt19937_64 random(2);
    for (std::size_t i = 0; i < count; ++i) {
        const double value = static_cast<double>(random() >> 11) * 0x1p-52 - 1;
        store_element(bytes.data(), static_cast<std::int64_t>(i), value, dtype);
    }
    return bytes;
}

/// Made once for each type.
class Patterns {
  public:
    const std::vector<std::byte>& of(DType dtype) {
        std::vector<std::byte>& made = made_[dtype];
        if (made.empty()) made = pattern(dtype);
        return made;
    }

  private:
    std::map<DType, std::vector<std::byte>> made_;
};

/// Calls copy(offset, bytes) for consecutive pieces of at most `piece` bytes.
template <class Copy>
void in_pieces(std::size_t bytes, std::size_t piece, Copy copy) {
    for (std::size_t at = 0; at < bytes; at += piece) copy(at, std::min(piece, bytes - at));
}

}  // namespace

std::vector<double> time_on_cpu(const Program& program, const BenchGraph& wanted, const std::vector<int>& threads,
                                Stopwatch stopwatch) {
    const Graph graph = graph_of(program.problem(), wanted);
    const ReceiverIndex index = receiver_index(graph);
    Patterns patterns;
    std::vector<std::vector<CacheLine>> memory;
    std::vector<void*> pointers;
    for (const ProgramOperand& operand : program.operands()) {
        const std::size_t bytes = bytes_of(operand, graph);
        const std::vector<std::byte>& values = patterns.of(operand.dtype);
        auto& data = memory.emplace_back(bytes / sizeof(CacheLine) + 1);
        in_pieces(bytes, values.size(), [&](std::size_t at, std::size_t size) {
            std::memcpy(reinterpret_cast<std::byte*>(data.data()) + at, values.data(), size);
        });
        pointers.push_back(data.data());
    }
    const auto run = [&](int i) {
        return seconds_of(stopwatch, [&](const ParallelFor& pool) {
            program.run_cpu(pointers, view_of(graph, index), threads[static_cast<std::size_t>(i)], pool);
        });
    };
    std::vector<double> seconds;
    for (const Timing& timing : time_in_turns(static_cast<int>(threads.size()), run))
        seconds.push_back(stopwatch == Stopwatch::wall ? timing.median : timing.best);
    return seconds;
}

CudaBench::CudaBench(const Program& program, const BenchGraph& wanted)
    : graph_(graph_of(program.problem(), wanted)), profiled_(wanted.profiled) {
    const ReceiverIndex index = receiver_index(graph_, program.plan().deterministic);
    Patterns patterns;
    for (const ProgramOperand& operand : program.operands()) {
        DeviceBuffer& data = memory_.emplace_back(bytes_of(operand, graph_));
        const std::vector<std::byte>& values = patterns.of(operand.dtype);
        in_pieces(data.bytes(), values.size(), [&](std::size_t at, std::size_t size) { data.upload(values.data(), size, at); });
    }
    row_ptr_ = DeviceBuffer::copy_of(std::span(index.row_ptr));
    sender_ = DeviceBuffer::copy_of(std::span(index.sender));
    edge_ = DeviceBuffer::copy_of(std::span(index.edge));
    sender_ptr_ = DeviceBuffer::copy_of(std::span(index.sender_ptr));
    position_ = DeviceBuffer::copy_of(std::span(index.position));
    workspace_ = DeviceBuffer(program.workspace_bytes(view_of(graph_, index)));
}

/// Holds a stream until it goes out of scope.
class Gate {
  public:
    Gate(const DeviceStream& held, const DeviceStream& other, const DeviceBuffer& word)
        : other_(other), address_(reinterpret_cast<CudaAddress>(word.data())) {
        const Driver& driver = Driver::get();
        driver.check(driver.write_value(other.get(), address_, 0, 0), "cuStreamWriteValue32");
        other.synchronize();
        constexpr unsigned at_least = 0;
        driver.check(driver.wait_for_value(held.get(), address_, 1, at_least), "cuStreamWaitValue32");
    }
    ~Gate() { Driver::get().write_value(other_.get(), address_, 1, 0); }
    Gate(const Gate&) = delete;
    Gate& operator=(const Gate&) = delete;

  private:
    const DeviceStream& other_;
    CudaAddress address_;
};

DeviceTime CudaBench::time(const Program& program) const {
    std::vector<void*> pointers;
    for (const DeviceBuffer& buffer : memory_) pointers.push_back(buffer.data());
    const auto array = [](const DeviceBuffer& buffer) { return static_cast<const std::int32_t*>(buffer.data()); };
    const GraphView view{graph_.edges, graph_.senders, graph_.receivers, array(row_ptr_), array(sender_), array(edge_),
                         nullptr, array(sender_ptr_), array(position_), workspace_.data(), workspace_.bytes()};
    program.launch_cuda(pointers, view, stream_.get());  // loads code, for which the stream must not be held
    stream_.synchronize();
    std::vector<double> host;
    const Timing timing = time_runs([&] {
        DeviceEvent start, end;
        {
            std::optional<Gate> gate;
            if (!profiled_) gate.emplace(stream_, other_, gate_);
            start.record(stream_.get());
            const auto called = std::chrono::steady_clock::now();
            program.launch_cuda(pointers, view, stream_.get());
            host.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - called).count());
            end.record(stream_.get());
        }
        return end.milliseconds_since(start) * 1e-3;
    });
    std::ranges::nth_element(host, host.begin() + static_cast<std::ptrdiff_t>(host.size() / 2));
    return {timing.median, host[host.size() / 2]};
}

}  // namespace flashtp::tools
