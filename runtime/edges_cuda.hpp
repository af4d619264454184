// The receiver index of a graph whose edges are on a CUDA device.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "runtime/edges.hpp"

namespace flashtp {

class Engine;

/// Device pointers to rows of edges, int32 or int64.
struct DeviceEdges {
    const void* sender = nullptr;
    const void* receiver = nullptr;
    int index_bits = 32;
    std::int64_t edges = 0, senders = 0, receivers = 0;
    const std::int64_t* edge_count = nullptr;  ///< on the device: how many of the edges there are; null: all
    bool by_sender = false;  ///< as in EdgeList
};

/// What build leaves on the device for the caller to look at when it suits him.
struct DeviceIndexReport {
    std::int64_t first_invalid = -1;  ///< the first edge with a row out of range, or `edges` where there are more; then the index is of no use, but safe to read
    std::int64_t unsorted = 0;        ///< 0: the edges were sorted, `edge` is the identity and kernels may get null instead
};

/// Bytes of device memory that build needs for as long as it runs. Throws UserError for counts beyond 32 bits.
std::size_t device_index_workspace(std::int64_t edges, std::int64_t receivers);

/// Builds indices in any context. Thread-safe.
class DeviceIndexer {
  public:
    DeviceIndexer();
    ~DeviceIndexer();

    /// Compiles and loads for the current context; build does it on first use otherwise.
    void prepare(Engine&);
    /// Enqueues the work: no allocation, no waiting. The result is the same as the host's, bit for bit. The workspace is aligned
    /// to 16 bytes. Throws UserError for null pointers and counts that do not fit, DeviceError.
    void build(Engine&, const DeviceEdges&, const ReceiverIndexArrays&, DeviceIndexReport* report, void* workspace,
               std::size_t workspace_bytes, void* stream);

  private:
    struct Code;  ///< functions of one context
    const Code& code(Engine&, const void* stream);

    std::mutex mutex_;
    std::vector<std::unique_ptr<Code>> codes_;
};

}  // namespace flashtp
