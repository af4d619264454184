// The receiver index against its definition, on the host and, where there is one, on a device.
#include <algorithm>
#include <iostream>
#include <random>

#include <doctest/doctest.h>

#include "codegen/prelude.hpp"
#include "ir/error.hpp"
#include "runtime/device.hpp"
#include "runtime/edges_cuda.hpp"
#include "runtime/engine.hpp"
#include "tests/runtime/memory_only.hpp"
#include "tests/support/device_or_skip.hpp"

using namespace flashtp;
using namespace flashtp::test;

namespace {

template <class Int>
struct Edges {
    std::vector<Int> sender, receiver;
    std::int64_t senders = 0, receivers = 0;
    bool by_sender = false;

    EdgeList<Int> list() const { return {sender, receiver, senders, receivers, by_sender}; }
};

template <class Int>
Edges<Int> random_edges(std::int64_t count, std::int64_t senders, std::int64_t receivers, std::uint64_t seed) {
    Edges<Int> edges{{}, {}, senders, receivers};
    std::mt19937_64 random(seed);
    for (std::int64_t e = 0; e < count; ++e) {
        edges.sender.push_back(static_cast<Int>(random() % static_cast<std::uint64_t>(senders)));
        // A quarter of all edges share a receiver.
        const bool hub = random() % 4 == 0;
        edges.receiver.push_back(hub ? 0 : static_cast<Int>(random() % static_cast<std::uint64_t>(receivers)));
    }
    return edges;
}

struct Index {
    std::vector<std::int32_t> row_ptr, sender, edge;
    bool sorted = false;
};

template <class Int>
Index build(const Edges<Int>& edges) {
    Index index{std::vector<std::int32_t>(static_cast<std::size_t>(edges.receivers) + 1),
                std::vector<std::int32_t>(edges.sender.size()), std::vector<std::int32_t>(edges.sender.size()), false};
    index.sorted = build_receiver_index(edges.list(), {index.row_ptr.data(), index.sender.data(), index.edge.data()});
    return index;
}

/// The definition: for every receiver its edges in the order they had, or of their senders.
template <class Int>
void check_index(const Edges<Int>& edges, const Index& index) {
    std::size_t position = 0;
    for (std::int64_t r = 0; r < edges.receivers; ++r) {
        CHECK(index.row_ptr[static_cast<std::size_t>(r)] == static_cast<std::int32_t>(position));
        std::vector<std::size_t> mine;
        for (std::size_t e = 0; e < edges.receiver.size(); ++e)
            if (edges.receiver[e] == r) mine.push_back(e);
        if (edges.by_sender) std::ranges::stable_sort(mine, {}, [&](std::size_t e) { return edges.sender[e]; });
        for (const std::size_t e : mine) {
            CHECK(index.edge[position] == static_cast<std::int32_t>(e));
            CHECK(index.sender[position] == static_cast<std::int32_t>(edges.sender[e]));
            ++position;
        }
    }
    CHECK(index.row_ptr.back() == static_cast<std::int32_t>(edges.sender.size()));
}

struct DeviceResult {
    Index index;
    DeviceIndexReport report;
};

template <class Int>
DeviceResult build_on_device(Engine& engine, const Edges<Int>& edges) {
    const std::int64_t count = static_cast<std::int64_t>(edges.sender.size());
    const DeviceBuffer sender = DeviceBuffer::copy_of(std::span<const Int>(edges.sender)),
                       receiver = DeviceBuffer::copy_of(std::span<const Int>(edges.receiver));
    const DeviceBuffer row_ptr(4 * static_cast<std::size_t>(edges.receivers + 1)), out_sender(4 * edges.sender.size()),
        out_edge(4 * edges.sender.size()), report(sizeof(DeviceIndexReport)),
        workspace(device_index_workspace(count, edges.receivers));
    const auto ints = [](const DeviceBuffer& b) { return static_cast<std::int32_t*>(b.data()); };
    const DeviceStream stream;
    engine.indexer().build(engine, {sender.data(), receiver.data(), 8 * sizeof(Int), count, edges.senders, edges.receivers,
                                    nullptr, edges.by_sender},
                           {ints(row_ptr), ints(out_sender), ints(out_edge)}, static_cast<DeviceIndexReport*>(report.data()),
                           workspace.data(), workspace.bytes(), stream.get());
    stream.synchronize();
    DeviceResult result;
    result.index = {std::vector<std::int32_t>(static_cast<std::size_t>(edges.receivers) + 1),
                    std::vector<std::int32_t>(edges.sender.size()), std::vector<std::int32_t>(edges.sender.size()), false};
    row_ptr.download(result.index.row_ptr.data(), row_ptr.bytes());
    out_sender.download(result.index.sender.data(), out_sender.bytes());
    out_edge.download(result.index.edge.data(), out_edge.bytes());
    report.download(&result.report, sizeof result.report);
    return result;
}

template <class Int>
void compare_with_host(Engine& engine, Edges<Int> edges) {
    for (const bool by_sender : {false, true}) {
        edges.by_sender = by_sender;
        const Index host = build(edges);
        const DeviceResult device = build_on_device(engine, edges);
        CHECK(device.index.row_ptr == host.row_ptr);
        CHECK(device.index.sender == host.sender);
        CHECK(device.index.edge == host.edge);
        CHECK(device.report.first_invalid == -1);
        CHECK((device.report.unsorted == 0) == host.sorted);
    }
}

}  // namespace

TEST_CASE("random edges, both widths") {
    check_index(random_edges<std::int32_t>(300, 17, 23, 1), build(random_edges<std::int32_t>(300, 17, 23, 1)));
    check_index(random_edges<std::int64_t>(300, 17, 23, 2), build(random_edges<std::int64_t>(300, 17, 23, 2)));
}

TEST_CASE("edges of one receiver by sender, whatever their order") {
    Edges<std::int32_t> edges = random_edges<std::int32_t>(300, 17, 23, 11);
    edges.by_sender = true;
    check_index(edges, build(edges));
    Edges<std::int32_t> ordered = edges;
    const Index index = build(edges);
    for (std::size_t p = 0; p < index.edge.size(); ++p) {
        ordered.sender[p] = edges.sender[static_cast<std::size_t>(index.edge[p])];
        ordered.receiver[p] = edges.receiver[static_cast<std::size_t>(index.edge[p])];
    }
    CHECK(build(ordered).sorted);
    CHECK(build(ordered).sender == index.sender);
}

TEST_CASE("a deterministic index has the positions of every sender's edges, in order") {
    const Edges<std::int32_t> edges = random_edges<std::int32_t>(200, 13, 9, 12);
    const ReceiverIndex index = receiver_index({200, 13, 9, edges.sender, edges.receiver}, true);
    for (std::size_t s = 0; s < 13; ++s) {
        std::vector<std::int32_t> positions;
        for (std::size_t p = 0; p < index.sender.size(); ++p)
            if (index.sender[p] == static_cast<std::int32_t>(s)) positions.push_back(static_cast<std::int32_t>(p));
        const std::vector<std::int32_t> found(index.position.begin() + index.sender_ptr[s], index.position.begin() + index.sender_ptr[s + 1]);
        CHECK(found == positions);
    }
}

TEST_CASE("sorted edges are noticed") {
    Edges<std::int32_t> edges = random_edges<std::int32_t>(50, 5, 7, 3);
    CHECK_FALSE(build(edges).sorted);
    std::sort(edges.receiver.begin(), edges.receiver.end());
    const Index index = build(edges);
    CHECK(index.sorted);
    for (std::size_t e = 0; e < index.edge.size(); ++e) CHECK(index.edge[e] == static_cast<std::int32_t>(e));
    CHECK(index.sender == edges.sender);
}

TEST_CASE("no edges, no nodes") {
    const Index none = build(Edges<std::int32_t>{{}, {}, 3, 4});
    CHECK(none.row_ptr == std::vector<std::int32_t>(5, 0));
    CHECK(none.sorted);
    CHECK(build(Edges<std::int64_t>{}).row_ptr == std::vector<std::int32_t>{0});
}

TEST_CASE("the transpose groups edges by sender") {
    const Edges<std::int32_t> edges = random_edges<std::int32_t>(100, 9, 11, 4);
    const Edges<std::int32_t> exchanged{edges.receiver, edges.sender, edges.receivers, edges.senders};
    check_index(exchanged, build(exchanged));
}

TEST_CASE("a row out of range is named with its edge") {
    Edges<std::int64_t> edges = random_edges<std::int64_t>(10, 4, 5, 5);
    edges.receiver[7] = 5;
    CHECK_THROWS_WITH_AS(build(edges), "the receiver of edge 7 is 5; it must be from 0 to 4", UserError);
    edges.receiver[7] = std::int64_t{1} << 32;
    CHECK_THROWS_WITH_AS(build(edges), "the receiver of edge 7 is 4294967296; it must be from 0 to 4", UserError);
    edges.receiver[7] = 0;
    edges.sender[2] = -1;
    CHECK_THROWS_WITH_AS(build(edges), "the sender of edge 2 is -1; it must be from 0 to 3", UserError);
}

TEST_CASE("the device's code compiles for every architecture") {
    Engine engine(test::memory_only());
    Kernel kernel;
    kernel.name = "flashtp_receiver_index";
    for (const std::string& name : known_targets()) {
        if (!name.starts_with("sm_")) continue;
        kernel.target = cuda_target(name);
        try {
            engine.backend(kernel.target)->identity(kernel.target);
        } catch (const CompileError&) {
            std::cout << "SKIPPED: NVRTC is not installed" << std::endl;
            return;
        }
        CHECK(engine.compile(kernel, std::string(prelude_edges())).artifact->code.size() > 0);
    }
}

TEST_CASE("the device's workspace grows with the edges and refuses what 32 bits cannot count") {
    CHECK(device_index_workspace(0, 0) == 0);
    CHECK(device_index_workspace(1'000'000, 1000) >= 16'000'000);
    CHECK_THROWS_AS(device_index_workspace(-1, 1), UserError);
    CHECK_THROWS_AS(device_index_workspace(std::int64_t{1} << 31, 1), UserError);
}

TEST_CASE("the device gives the host's result") {
    if (!device_or_skip()) return;
    Engine engine(test::memory_only());
    for (const std::int64_t count : {0, 1, 31, 32, 33, 1023, 1024, 1025, 100'000}) {
        for (const std::int64_t receivers : {1, 2, 256, 257, 70'000}) {
            CAPTURE(count);
            CAPTURE(receivers);
            compare_with_host(engine, random_edges<std::int32_t>(count, 100, receivers, 6));
            compare_with_host(engine, random_edges<std::int64_t>(count, 100, receivers, 7));
        }
    }
    compare_with_host(engine, random_edges<std::int64_t>(3'000'000, 5000, 17'000'000, 8));
    Edges<std::int32_t> sorted = random_edges<std::int32_t>(5000, 100, 300, 9);
    std::sort(sorted.receiver.begin(), sorted.receiver.end());
    compare_with_host(engine, sorted);
}

TEST_CASE("the device flags the first row out of range") {
    if (!device_or_skip()) return;
    Engine engine(test::memory_only());
    Edges<std::int64_t> edges = random_edges<std::int64_t>(5000, 100, 300, 10);
    edges.sender[4000] = 100;
    edges.receiver[3000] = std::int64_t{1} << 40;
    CHECK(build_on_device(engine, edges).report.first_invalid == 3000);
    edges.receiver[3000] = 0;
    CHECK(build_on_device(engine, edges).report.first_invalid == 4000);
}
