#include "runtime/edges_cuda.hpp"

#include <algorithm>
#include <array>

#include "codegen/prelude.hpp"
#include "ir/error.hpp"
#include "runtime/device.hpp"
#include "runtime/driver.hpp"
#include "runtime/engine.hpp"

namespace flashtp {
namespace {

constexpr int digit_bits = 8, digits = 1 << digit_bits;
/// Few enough that one block sums their counts quickly, enough to fill a device.
constexpr std::int64_t most_chunks = 1024, least_chunk = 1024;
constexpr unsigned threads_per_block = 256, sum_threads = 1024, most_blocks = 2048;

struct Plan {
    std::int64_t chunk = least_chunk, chunks = 0;
    std::size_t array_bytes = 0, count_bytes = 0;

    std::size_t workspace() const { return 4 * array_bytes + count_bytes; }
};

std::size_t padded(std::int64_t bytes) { return static_cast<std::size_t>((bytes + 255) / 256 * 256); }

Plan plan_for(std::int64_t edges, std::int64_t receivers) {
    for (const std::int64_t count : {edges, receivers}) {
        if (count < 0 || count >= INT32_MAX) user_error("{} edges or receivers; there must be 0 to {}", count, INT32_MAX - 1);
    }
    Plan plan;
    plan.chunk = std::max(least_chunk, ((edges + most_chunks - 1) / most_chunks + 31) / 32 * 32);
    plan.chunks = (edges + plan.chunk - 1) / plan.chunk;
    plan.array_bytes = padded(4 * edges);
    plan.count_bytes = padded(4 * digits * plan.chunks);
    return plan;
}

int passes_over(std::int64_t rows) {
    int passes = 0;
    while ((rows - 1) >> (digit_bits * passes) > 0) ++passes;
    return passes;
}

unsigned blocks_for(std::int64_t threads) {
    return static_cast<unsigned>(std::clamp<std::int64_t>((threads + threads_per_block - 1) / threads_per_block, 1, most_blocks));
}

/// Two (key, edge) pairs of arrays that passes read and write in turn, and the counts of digits.
struct Workspace {
    std::array<int*, 2> key, edge;
    int* counts;

    Workspace(void* memory, const Plan& plan) {
        auto* const bytes = static_cast<std::byte*>(memory);
        const auto array = [&](std::size_t n) { return reinterpret_cast<int*>(bytes + n * plan.array_bytes); };
        key = {array(0), array(1)};
        edge = {array(2), array(3)};
        counts = array(4);
    }
};

template <class... Arguments>
void launch(CudaFunction function, unsigned blocks, unsigned threads, void* stream, Arguments... arguments) {
    void* pointers[] = {&arguments...};
    const Driver& driver = Driver::get();
    driver.check(driver.launch_kernel(function, blocks, 1, 1, threads, 1, 1, 0, stream, pointers, nullptr), "cuLaunchKernel");
}

void fill(void* to, unsigned char byte, std::size_t bytes, void* stream) {
    const Driver& driver = Driver::get();
    driver.check(driver.set_bytes_async(reinterpret_cast<CudaAddress>(to), byte, bytes, stream), "cuMemsetD8Async");
}

void check(const DeviceEdges& edges, const ReceiverIndexArrays& index, const void* report, const void* workspace,
           std::size_t given, std::size_t needed) {
    if (edges.index_bits != 32 && edges.index_bits != 64)
        user_error("rows of {} bits; they must have 32 or 64", edges.index_bits);
    if (edges.senders < 0 || edges.senders >= INT32_MAX)
        user_error("{} senders; there must be 0 to {}", edges.senders, INT32_MAX - 1);
    const bool some = edges.edges > 0;
    if (some && (!edges.sender || !edges.receiver)) user_error("the arrays of senders and receivers must not be null");
    if (!index.row_ptr || (some && (!index.sender || !index.edge))) user_error("the arrays of the index must not be null");
    if (reinterpret_cast<std::uintptr_t>(edges.edge_count) % alignof(std::int64_t) != 0)
        user_error("edge_count is not aligned to 8 bytes");
    if (!report) user_error("the report must not be null");
    if (given < needed || (needed > 0 && !workspace)) user_error("the workspace has {} bytes; {} are needed", given, needed);
    if (reinterpret_cast<std::uintptr_t>(workspace) % 16 != 0) user_error("the workspace is not aligned to 16 bytes");
}

}  // namespace

struct DeviceIndexer::Code {
    CudaContext context = nullptr;
    CudaModule module = nullptr;
    CudaFunction begin_32, begin_64, key_by_32, key_by_64, note_senders_32, note_senders_64, count_digits, sum_counts, place_edges, finish_32, finish_64;

    Code(CudaContext where, const Artifact& artifact) : context(where) {
        const Driver& driver = Driver::get();
        driver.check(driver.load_module(&module, artifact.code.data()), "cuModuleLoadData");
        const auto find = [&](CudaFunction& function, const char* name) {
            driver.check(driver.module_function(&function, module, name), "cuModuleGetFunction");
        };
        find(begin_32, "begin_32");
        find(begin_64, "begin_64");
        find(key_by_32, "key_by_32");
        find(key_by_64, "key_by_64");
        find(note_senders_32, "note_senders_32");
        find(note_senders_64, "note_senders_64");
        find(count_digits, "count_digits");
        find(sum_counts, "sum_counts");
        find(place_edges, "place_edges");
        find(finish_32, "finish_32");
        find(finish_64, "finish_64");
    }
};

DeviceIndexer::DeviceIndexer() = default;
DeviceIndexer::~DeviceIndexer() = default;  // modules go with their context: at exit the driver may be gone before us

std::size_t device_index_workspace(std::int64_t edges, std::int64_t receivers) { return plan_for(edges, receivers).workspace(); }

const DeviceIndexer::Code& DeviceIndexer::code(Engine& engine, const void* stream) {
    const CurrentContext current;
    const std::lock_guard lock(mutex_);
    for (const auto& code : codes_) {
        if (code->context == current.get()) return *code;
    }
    if (is_capturing(stream)) throw NotPreparedError("the first index of a context cannot be built while the stream is captured");
    const AllowedDuringCapture allowed;
    Kernel kernel;
    kernel.name = "flashtp_receiver_index";
    kernel.target = engine.target("cuda");
    const CompiledKernel compiled = engine.compile(kernel, std::string(prelude_edges()));
    codes_.push_back(std::make_unique<Code>(current.get(), *compiled.artifact));
    return *codes_.back();
}

void DeviceIndexer::prepare(Engine& engine) { code(engine, nullptr); }

void DeviceIndexer::build(Engine& engine, const DeviceEdges& edges, const ReceiverIndexArrays& index, DeviceIndexReport* report,
                          void* workspace, std::size_t workspace_bytes, void* stream) {
    const Plan plan = plan_for(edges.edges, edges.receivers);
    check(edges, index, report, workspace, workspace_bytes, plan.workspace());
    const CurrentContext current;
    const Code& code = this->code(engine, stream);
    const bool wide = edges.index_bits == 64;
    const std::int64_t count = edges.edges;

    fill(&report->first_invalid, 0xff, sizeof report->first_invalid, stream);
    fill(&report->unsorted, 0, sizeof report->unsorted, stream);
    const Workspace w(workspace, plan);
    int from = 0;
    const auto sort = [&](std::int64_t rows) {
        const auto chunks = static_cast<int>(plan.chunks);
        const auto blocks = static_cast<unsigned>(plan.chunks);
        for (int pass = 0; pass < passes_over(rows); ++pass, from = 1 - from) {
            const int shift = digit_bits * pass, to = 1 - from;
            launch(code.count_digits, blocks, 32, stream, w.key[from], count, edges.edge_count, plan.chunk, chunks, shift,
                   w.counts);
            launch(code.sum_counts, 1, sum_threads, stream, w.counts, digits * chunks);
            launch(code.place_edges, blocks, 32, stream, w.key[from], w.edge[from], count, edges.edge_count, plan.chunk, chunks,
                   shift, w.counts, w.key[to], w.edge[to]);
        }
    };
    const auto key_by = [&](const void* rows, std::int64_t limit) {
        launch(wide ? code.key_by_64 : code.key_by_32, blocks_for(count), threads_per_block, stream, rows, w.edge[from], count,
               edges.edge_count, limit, w.key[from]);
    };
    if (count > 0) {
        launch(wide ? code.begin_64 : code.begin_32, blocks_for(count), threads_per_block, stream, edges.sender, edges.receiver,
               count, edges.edge_count, edges.senders, edges.receivers, w.key[0], w.edge[0], report);
        if (edges.by_sender) {
            launch(wide ? code.note_senders_64 : code.note_senders_32, blocks_for(count), threads_per_block, stream, edges.sender,
                   edges.receiver, count, edges.edge_count, report);
            key_by(edges.sender, edges.senders);
            sort(edges.senders);
            key_by(edges.receiver, edges.receivers);
        }
        sort(edges.receivers);
    }
    launch(wide ? code.finish_64 : code.finish_32, blocks_for(std::max(count, edges.receivers + 1)), threads_per_block, stream,
           edges.sender, w.key[from], w.edge[from], count, edges.edge_count, edges.senders, edges.receivers, index.row_ptr,
           index.sender, index.edge);
}

}  // namespace flashtp
