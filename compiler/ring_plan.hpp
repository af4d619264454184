// What the ring holds of an edge: contiguous pieces of edge and sender rows, and where each value finds its numbers there.
#pragma once

#include <vector>

#include "compiler/nest.hpp"
#include "ir/kernel.hpp"

namespace flashtp {

/// Bytes that addresses and sizes of bulk copies and reductions are multiples of (PTX ISA, cp.async.bulk).
inline constexpr std::int64_t bulk_alignment = 16;

/// One asynchronous copy: `count` elements of an operand's row from first + chunk * chunk_factor on, to word `shared` of the edge's slot. A
/// word has the size of a number of the compute type.
struct RingPiece {
    OperandId operand = 0;
    std::int64_t first = 0, chunk_factor = 0, count = 0, shared = 0;
    bool bulk = false;
    int vector = 1;  ///< elements a lane copies at a time, where not bulk
};

/// Where a value lies in a slot, in elements of its operand.
struct RingPlace {
    std::int64_t shared = 0, lane_stride = 0, component_stride = 1;
};

struct RingPlan {
    std::vector<RingPiece> pieces;
    std::vector<std::pair<ValueId, RingPlace>> places;
    std::int64_t edge_elements = 0, bulk_bytes = 0;
    bool has_elements = false;  ///< some piece is not a bulk copy
    /// Where a slot keeps the numbers of its sender and of its edge, for rows that are addressed while the edge is worked on; -1: nowhere.
    std::int64_t sender_at = -1, edge_at = -1;

    const RingPlace* find(ValueId value) const;
};

/// Room in every slot for the numbers of its sender and its edge.
void keep_numbers(RingPlan&, bool sender, bool edge, std::size_t word_bytes);

/// No piece is a bulk copy any more.
void copy_by_lanes(RingPlan&);

/// Whether a value's copies are whole words of shared memory: elements half as large as a word may be odd ones.
bool fits_ring(const Nest&, ValueId, int chunk_channels, std::int64_t chunks, std::size_t word_bytes);

/// Pieces for the given inputs, merged where they touch; rows are extended to 16-byte bounds where the row's width allows it.
RingPlan plan_ring(const Nest& nest, const std::vector<ValueId>& inputs, int chunk_channels, std::int64_t chunks,
                   CopyMechanism copy, std::size_t word_bytes);

}  // namespace flashtp
