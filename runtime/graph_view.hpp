// The row counts and index arrays of a launch.
#pragma once

#include <cstddef>
#include <cstdint>

#include "ir/view.hpp"

namespace flashtp {

/// Edges in receiver order: those of receiver r are at positions row_ptr[r] to row_ptr[r + 1]. A plain batch has its number of
/// rows as edges, senders and receivers, and no arrays. Host pointers for the CPU, device pointers for CUDA.
struct GraphView {
    std::int64_t edges = 0, senders = 0, receivers = 0;
    const std::int32_t* row_ptr = nullptr;  ///< [receivers + 1]
    const std::int32_t* sender = nullptr;   ///< [edges] in receiver order
    const std::int32_t* edge = nullptr;     ///< [edges] row of edge operands, in receiver order; null: they are in that order
    const std::int64_t* edge_count = nullptr;  ///< CUDA: how many rows of a plain batch there are; null: `edges`
    /// For programs with sums by sender (LaunchPlan::sums_by_sender): positions in receiver order, those of sender s at
    /// sender_ptr[s] to sender_ptr[s + 1].
    const std::int32_t* sender_ptr = nullptr;  ///< [senders + 1]
    const std::int32_t* position = nullptr;    ///< [edges]; null: 0, 1, 2, ...
    void* workspace = nullptr;                 ///< Program::workspace_bytes of device memory while a launch runs
    std::size_t workspace_bytes = 0;

    std::int64_t rows(Row row) const { return row_count(row, edges, senders, receivers); }
};

}  // namespace flashtp
