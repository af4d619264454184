// Shuffle networks between the lanes of vectors: interleaving of components, small transpositions, sums over lanes.
#pragma once

#include <span>

#include "codegen/llvm_text.hpp"

namespace flashtp::llvm_text {

/// Memory [lane][component] with an odd number of components, in `stride` vectors of `lanes` elements each, to one vector a
/// component. An empty wanted[k] leaves component k out. Costs min(stride - 1, log2 lanes) blends and one permutation a component.
std::vector<Name> deinterleave(const Elements& elements, int lanes, int stride, const std::vector<Name>& memory,
                               const std::vector<bool>& wanted);
/// The inverse: one vector a component to memory order.
std::vector<Name> interleave(const Elements& elements, int lanes, const std::vector<Name>& components);

/// Transposes every block of size x size elements, where `rows` are `size` vectors: element (b, i) of vector j becomes element
/// (b, j) of vector i, with b the block. `size` is a power of two that divides lanes.
void transpose_blocks(const Elements& elements, int lanes, std::vector<Name>& rows);

/// Sums over the lanes of up to `lanes` vectors: element k of the result is the sum of vector k.
Name lane_sums(const Elements& elements, int lanes, std::span<const Name> values);

}  // namespace flashtp::llvm_text
