// Kernels of a request on random data, in the interpreter and on this machine's cores, against the oracle.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "compiler/pipeline.hpp"
#include "ir/evaluate.hpp"
#include "ir/graph.hpp"
#include "ir/problem.hpp"
#include "ir/request.hpp"
#include "ir/target.hpp"
#include "runtime/engine.hpp"
#include "tests/support/deviation.hpp"
#include "tests/support/random_problem.hpp"

namespace flashtp::test {

/// A request with data to run it on and the oracle's answer.
struct Experiment {
    Problem problem;
    Request request;
    Graph graph;
    Tensors inputs;  ///< rounded to their types in memory
    std::map<std::string, OracleTensor> expected;

    Experiment(const Problem&, const Request&, const GraphOptions&, std::uint64_t seed);
};

/// How an experiment's kernels are made and run.
struct KernelRun {
    LoweringOptions options;
    int rows_per_warp = 0;  ///< in the interpreter; 0: the schedule's
    int threads = 1;        ///< on the CPU
    int shares = 0;         ///< warps that share all edges, in the interpreter; 0: whole rows
    std::int64_t window = 0;  ///< edges of a launch, in the interpreter; 0: all
};

/// Lowers for the target and interprets: with memory of the exact size, outputs that are not zeroed full of NaN.
Deviation deviation_interpreted(const Experiment&, const Target&, const KernelRun& = {});
/// Compiles for this host and runs the code, with a page that faults behind every operand.
Deviation deviation_on_cpu(Engine&, const Experiment&, const KernelRun& = {});

/// The same as a text: empty, or the component that exceeds its bound most, or the rule that the kernel breaks.
std::string complaint_interpreted(const Experiment&, const Target&, const KernelRun& = {});
std::string complaint_on_cpu(Engine&, const Experiment&, const KernelRun& = {});

/// One CUDA architecture for each way to copy, the last an imaginary one that can't copy asynchronously.
const std::vector<Target>& cuda_targets();
/// Keeps compiled kernels in memory only.
EngineOptions memory_only();

}  // namespace flashtp::test
