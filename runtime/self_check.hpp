// A program against the oracle on random data.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "ir/evaluate.hpp"
#include "ir/graph.hpp"
#include "ir/interpret.hpp"
#include "ir/problem.hpp"
#include "ir/request.hpp"
#include "runtime/program.hpp"

namespace flashtp {

struct SampleOptions {
    std::int64_t edges = 200, nodes = 20;
    std::uint64_t seed = 1;
    bool sorted = false;  ///< edges by receiver
};

/// A graph and inputs, the same on every machine for the same options.
struct Sample {
    Graph graph;
    Tensors inputs;
};
/// Inputs lie between -1 and 1 and are rounded to their types in memory, so that the oracle sees what the kernel sees. A
/// convolution gets random edges (repeated ones and isolated nodes among them); a plain batch has one row an edge.
Sample random_sample(const Problem&, const std::vector<Operand>& operands, const SampleOptions&);

/// Operands of a program in memory of this host, in their types.
class HostOperands {
  public:
    /// Outputs start as NaN: what a program does not write shows.
    HostOperands(const std::vector<ProgramOperand>&, const Sample&);
    /// With what kernels hand each other behind them.
    HostOperands(const LaunchPlan&, const GraphView&, const Sample&);

    std::vector<void*> pointers();
    std::vector<std::span<std::byte>> memory();
    /// Outputs in double.
    Tensors outputs() const;

  private:
    void add(const ProgramOperand&, std::int64_t rows, const Sample&);

    const std::vector<ProgramOperand>& operands_;
    std::vector<std::vector<std::byte>> memory_;
};

/// The component of an output that comes nearest to its bound, or exceeds it most.
struct OutputCheck {
    std::string output;
    std::int64_t components = 0;
    double ratio = 0;  ///< error / bound; 0 for an exact result, infinite for any error where the bound is 0, and for NaN
    std::int64_t row = 0, column = 0;
    double found = 0, expected = 0, bound = 0;
    bool ok() const { return ratio <= 1; }
};
/// The oracle's answer to a request.
struct Expected {
    PathProgram program;
    std::map<std::string, OracleTensor> outputs;
};
Expected expect(const Problem&, const Request&, const Sample&);
/// One check an output. An output that is missing or of another size throws InternalError.
std::vector<OutputCheck> compare(const Expected&, const Tensors& found, double eps);
/// Operands of a request's program, in order.
std::vector<Operand> operands_of(const Problem&, const Request&);

/// What a program computes from a sample.
Tensors run_on_cpu(const Program&, const Sample&, int threads);
/// In the current context, which is made current when there is none.
Tensors run_on_cuda(const Program&, const Sample&);
/// Whether code for the target runs on this host, or on the current device.
bool runs_here(const Target&);
/// The verdict on a kernel that agrees with the oracle.
inline constexpr const char* self_check_passed = "passed";
/// Runs a program for this host or the current device on a small random problem. Empty when every output is within its bound, else
/// the output, its component, what was found and what was expected.
std::string self_check(const Program&, int threads);
/// An index array by its name, as the interpreter takes it.
InterpreterBuffer index_buffer(const Kernel&, const std::string& name, const GraphView&);
/// The kernels on this host, lane by lane, with every rule of ir/kernel.hpp checked; 0: the kernels' own rows a warp.
Tensors run_interpreted(const Lowered&, DType, const Sample&, int rows_per_warp = 0, std::uint64_t shuffled = 0);

}  // namespace flashtp
