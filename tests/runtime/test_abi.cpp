// The C API as a compiled program sees it: layouts that no release may change, only extend at their ends.
#include <cstddef>

#include <doctest/doctest.h>
#include <flashtp/flashtp.h>
#include <fmt/format.h>

#include "tests/support/file_text.hpp"

namespace {

// The size as well: a field that is added and not listed here changes it.
template <class Struct>
std::string structure(const char* name) {
    return fmt::format("{}, {} bytes\n", name, sizeof(Struct));
}

std::string field(const char* name, std::size_t offset, std::size_t size) {
    return fmt::format("  {} at {}, {} bytes\n", name, offset, size);
}

#define FLASHTP_FIELD(Struct, name) field(#name, offsetof(Struct, name), sizeof(Struct::name))

std::string layouts() {
    std::string text;
    using Options = flashtp_engine_options;
    text += structure<Options>("flashtp_engine_options") + FLASHTP_FIELD(Options, size) +
            FLASHTP_FIELD(Options, cache_directory) + FLASHTP_FIELD(Options, threads) + FLASHTP_FIELD(Options, reserved) +
            FLASHTP_FIELD(Options, log) + FLASHTP_FIELD(Options, log_user) + FLASHTP_FIELD(Options, read_only_caches) +
            FLASHTP_FIELD(Options, require_cached) + FLASHTP_FIELD(Options, self_check);
    using Counts = flashtp_cache_counts;
    text += structure<Counts>("flashtp_cache_counts") + FLASHTP_FIELD(Counts, size) + FLASHTP_FIELD(Counts, hits) +
            FLASHTP_FIELD(Counts, misses) + FLASHTP_FIELD(Counts, rejected) + FLASHTP_FIELD(Counts, stored) +
            FLASHTP_FIELD(Counts, store_failures) + FLASHTP_FIELD(Counts, read_only_hits) + FLASHTP_FIELD(Counts, untrusted) +
            FLASHTP_FIELD(Counts, unreadable) + FLASHTP_FIELD(Counts, damaged) + FLASHTP_FIELD(Counts, other_key) +
            FLASHTP_FIELD(Counts, lock_timeouts) + FLASHTP_FIELD(Counts, evicted) + FLASHTP_FIELD(Counts, program_hits) +
            FLASHTP_FIELD(Counts, program_misses) + FLASHTP_FIELD(Counts, tuned_hits);
    using Request = flashtp_request;
    text += structure<Request>("flashtp_request") + FLASHTP_FIELD(Request, size) + FLASHTP_FIELD(Request, problem) +
            FLASHTP_FIELD(Request, order) + FLASHTP_FIELD(Request, reserved) + FLASHTP_FIELD(Request, outputs) +
            FLASHTP_FIELD(Request, absent) + FLASHTP_FIELD(Request, target) + FLASHTP_FIELD(Request, edges);
    using Operand = flashtp_operand;
    text += structure<Operand>("flashtp_operand") + FLASHTP_FIELD(Operand, size) + FLASHTP_FIELD(Operand, name) +
            FLASHTP_FIELD(Operand, role) + FLASHTP_FIELD(Operand, row) + FLASHTP_FIELD(Operand, dtype) +
            FLASHTP_FIELD(Operand, used) + FLASHTP_FIELD(Operand, width);
    using Kernel = flashtp_kernel;
    text += structure<Kernel>("flashtp_kernel") + FLASHTP_FIELD(Kernel, size) + FLASHTP_FIELD(Kernel, name) +
            FLASHTP_FIELD(Kernel, key) + FLASHTP_FIELD(Kernel, code_bytes) + FLASHTP_FIELD(Kernel, registers) +
            FLASHTP_FIELD(Kernel, cached) + FLASHTP_FIELD(Kernel, spill_bytes) + FLASHTP_FIELD(Kernel, shared_bytes) +
            FLASHTP_FIELD(Kernel, threads_per_block) + FLASHTP_FIELD(Kernel, rows_per_block) + FLASHTP_FIELD(Kernel, grid_y) +
            FLASHTP_FIELD(Kernel, receiver_rows) + FLASHTP_FIELD(Kernel, launches) + FLASHTP_FIELD(Kernel, self_check) +
            FLASHTP_FIELD(Kernel, reserved);
    using Graph = flashtp_graph;
    text += structure<Graph>("flashtp_graph") + FLASHTP_FIELD(Graph, size) + FLASHTP_FIELD(Graph, edges) +
            FLASHTP_FIELD(Graph, senders) + FLASHTP_FIELD(Graph, receivers) + FLASHTP_FIELD(Graph, row_ptr) +
            FLASHTP_FIELD(Graph, sender) + FLASHTP_FIELD(Graph, edge) + FLASHTP_FIELD(Graph, edge_count) +
            FLASHTP_FIELD(Graph, sender_ptr) + FLASHTP_FIELD(Graph, position) + FLASHTP_FIELD(Graph, workspace) +
            FLASHTP_FIELD(Graph, workspace_bytes);
    using Pool = flashtp_pool;
    text += structure<Pool>("flashtp_pool") + FLASHTP_FIELD(Pool, size) + FLASHTP_FIELD(Pool, parallel) +
            FLASHTP_FIELD(Pool, user) + FLASHTP_FIELD(Pool, threads) + FLASHTP_FIELD(Pool, reserved);
    using Edges = flashtp_edges;
    return text + structure<Edges>("flashtp_edges") + FLASHTP_FIELD(Edges, size) + FLASHTP_FIELD(Edges, edges) +
           FLASHTP_FIELD(Edges, senders) + FLASHTP_FIELD(Edges, receivers) + FLASHTP_FIELD(Edges, sender) +
           FLASHTP_FIELD(Edges, receiver) + FLASHTP_FIELD(Edges, index_bits) + FLASHTP_FIELD(Edges, by_sender) +
           FLASHTP_FIELD(Edges, edge_count);
}

}  // namespace

TEST_CASE("R3: layouts of the C API's structures are those of tests/runtime/abi.txt") {
    CHECK(layouts() == flashtp::test::kept_text(FLASHTP_SOURCE_DIR "/tests/runtime/abi.txt", layouts()));
}
