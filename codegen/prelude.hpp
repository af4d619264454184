#pragma once

#include <string_view>

namespace flashtp {

/// The text of codegen/prelude/device.cuh, embedded when the library is built. Every CUDA source starts with it.
std::string_view prelude_device();

/// The text of codegen/prelude/parts.cuh, which follows it.
std::string_view prelude_parts();

/// The text of codegen/prelude/products.cuh, which follows where a kernel has products over tiles.
std::string_view prelude_products();

/// The text of codegen/prelude/storage.cuh, which follows where memory holds numbers of two bytes.
std::string_view prelude_storage();

/// The text of codegen/prelude/bulk_stores.cuh, which follows where a kernel stores in bulk.
std::string_view prelude_bulk_stores();

/// The text of codegen/prelude/edge_products.cuh, which follows that where they are over edges in global memory.
std::string_view prelude_edge_products();

/// The text of codegen/prelude/shares.cuh, which takes the place of prelude_parts where warps share edges whatever their receivers.
std::string_view prelude_shares();

/// The text of codegen/prelude/edges.cu: kernels that build the receiver index on a device.
std::string_view prelude_edges();

} // namespace flashtp
