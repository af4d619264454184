// Timed runs of a program on data of no meaning.
#pragma once

#include <cstdint>

#include "runtime/program.hpp"

namespace flashtp::tools {

/// Every receiver has about the same number of edges; senders are random. Negative counts stand for "not given".
struct BenchGraph {
    std::int64_t edges = -1, nodes = -1;
    bool sorted = true;
};

/// Seconds of a run, the middle one of several. Zeroing of outputs is part of it.
double time_on_cpu(const Program&, const BenchGraph&, int threads);
/// Between two events around the launch, in the current context.
double time_on_cuda(const Program&, const BenchGraph&);

}  // namespace flashtp::tools
