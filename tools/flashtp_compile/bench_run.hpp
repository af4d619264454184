// Timed runs of a program on data of no meaning.
#pragma once

#include <cstdint>
#include <vector>

#include "runtime/device.hpp"
#include "runtime/edges.hpp"
#include "runtime/program.hpp"
#include "tools/flashtp_compile/measure.hpp"

namespace flashtp::tools {

/// Every receiver has about the same number of edges; senders are random. Negative counts stand for "not given".
struct BenchGraph {
    std::int64_t edges = -1, nodes = -1;
    bool sorted = true;
    bool profiled = false;  ///< a profiler makes launches wait for their kernels
};

/// Seconds of a run for each number of threads, the middle one of several by the wall's clock, the best by the threads'. Zeroing of
/// outputs is part of it.
std::vector<double> time_on_cpu(const Program&, const BenchGraph&, const std::vector<int>& threads, Stopwatch);

struct DeviceTime {
    double seconds = 0;       ///< between two events around the launch
    double host_seconds = 0;  ///< that the call of the launch takes
};

/// Memory on the device for all programs of one request, in the current context.
class CudaBench {
  public:
    CudaBench(const Program&, const BenchGraph&);
    /// The device does nothing else meanwhile, and never waits for the host unless the graph is profiled.
    DeviceTime time(const Program&) const;

  private:
    Graph graph_;
    bool profiled_;
    DeviceBuffer row_ptr_, sender_, edge_, sender_ptr_, position_, workspace_;
    std::vector<DeviceBuffer> memory_;
    DeviceStream stream_, other_;
    DeviceBuffer gate_{sizeof(std::uint32_t)};
};

}  // namespace flashtp::tools
