#include "tests/support/run_kernel.hpp"

#include <algorithm>
#include <cstring>
#include <random>

#include <fmt/format.h>

#include "compiler/expand_paths.hpp"
#include "ir/interpret.hpp"
#include "runtime/arguments.hpp"
#include "runtime/edges.hpp"
#include "runtime/self_check.hpp"
#include "tests/support/guarded_memory.hpp"

namespace flashtp::test {

namespace {

/// The operands of a request in memory, in the order of its program.
class OperandMemory {
  public:
    OperandMemory(const std::vector<Operand>& operands, const Experiment& experiment, const LaunchPlan& plan)
        : operands_(operands), first_tile_(plan.operands.size()), places_(plan.tile_places), dtype_(experiment.problem.dtype) {
        const GraphView graph{experiment.graph.edges, experiment.graph.senders, experiment.graph.receivers};
        for (std::size_t o = 0; o < operands.size(); ++o) {
            const Operand& operand = operands[o];
            const bool between = o >= plan.operands.size();
            const std::int64_t rows = between ? plan.rows_of(plan.tiles[o - plan.operands.size()], graph) : graph.rows(operand.row);
            const auto elements = static_cast<std::size_t>(rows * operand.width);
            memory_.emplace_back(elements * size_of(dtype_of(operand)));
            if (operand.role == Role::input && !operand.tile) fill(operand, memory_.back(), experiment.inputs.at(operand.name));
        }
    }

    std::vector<void*> pointers() const {
        std::vector<void*> all;
        for (const GuardedMemory& m : memory_) all.push_back(m.data());
        return all;
    }

    InterpreterBuffer buffer(std::size_t operand) const {
        const GuardedMemory& m = memory_[operand];
        return {m.data(), static_cast<std::int64_t>(m.size() / size_of(dtype_of(operands_[operand])))};
    }

    /// Where the memory is: tiles may lie in that of others.
    std::size_t find(const std::string& name) const {
        const auto at = static_cast<std::size_t>(std::ranges::find(operands_, name, &Operand::name) - operands_.begin());
        return at < first_tile_ ? at : first_tile_ + places_[at - first_tile_];
    }

    void zero(std::size_t operand) { std::fill_n(memory_[operand].data(), memory_[operand].size(), std::byte{0}); }

    Tensors outputs() const {
        Tensors tensors;
        for (std::size_t o = 0; o < operands_.size(); ++o)
            if (operands_[o].role == Role::output) tensors[operands_[o].name] = read(operands_[o], memory_[o]);
        return tensors;
    }

  private:
    DType dtype_of(const Operand& operand) const { return operand.storage.value_or(dtype_); }

    void fill(const Operand& operand, const GuardedMemory& m, const std::vector<double>& values) const {
        for (std::size_t i = 0; i < values.size(); ++i)
            store_element(m.data(), static_cast<std::int64_t>(i), values[i], dtype_of(operand));
    }

    std::vector<double> read(const Operand& operand, const GuardedMemory& m) const {
        std::vector<double> values(m.size() / size_of(dtype_of(operand)));
        for (std::size_t i = 0; i < values.size(); ++i) values[i] = load_element(m.data(), static_cast<std::int64_t>(i), dtype_of(operand));
        return values;
    }

    const std::vector<Operand>& operands_;
    std::size_t first_tile_;
    std::vector<std::size_t> places_;  ///< by tile
    DType dtype_;
    std::vector<GuardedMemory> memory_;
};

InterpreterArguments arguments_of(const Kernel& kernel, const OperandMemory& memory, const GraphView& graph, const KernelRun& run, int rows_per_warp) {
    InterpreterArguments arguments;
    for (const Buffer& b : kernel.buffers) {
        if (b.kind == BufferKind::index) arguments.buffers.push_back(index_buffer(kernel, b.name, graph));
        if (b.kind == BufferKind::operand) arguments.buffers.push_back(memory.buffer(memory.find(b.name)));
    }
    arguments.rows_per_warp = rows_per_warp;
    if (kernel.receiver_rows && kernel.target.platform == Platform::cuda) arguments.shares = run.shares;
    return arguments;
}

}  // namespace

Experiment::Experiment(const Problem& p, const Request& r, const GraphOptions& options, std::uint64_t seed)
    : problem(p), request(r) {
    std::mt19937_64 rng(seed);
    graph = random_graph(rng, problem, options);
    const PathProgram reference = derivative(expand_paths(problem), request);
    inputs = random_tensors(reference.operands, graph, rng, problem.dtype);
    expected = evaluate(reference, graph, inputs);
}

Deviation deviation_interpreted(const Experiment& e, const Target& target, const KernelRun& run) {
    const Lowered lowered = lower(e.problem, e.request, target, run.options);
    const std::vector<Operand> operands = operands_and_tiles(lowered);
    const LaunchPlan plan = plan_of(lowered, e.problem.dtype);
    OperandMemory memory(operands, e, plan);
    for (const OutputRule& rule : plan.outputs)
        if (rule.zeroed || (run.shares > 0 && rule.row == Row::receiver)) memory.zero(static_cast<std::size_t>(rule.operand));
    const ReceiverIndex index = receiver_index(e.graph, e.problem.deterministic);
    for (const Kernel& kernel : lowered.kernels)
        for (const Buffer& buffer : kernel.buffers)
            if (buffer.operand && buffer.zeroed) memory.zero(memory.find(buffer.name));
    const GraphView graph = view_of(e.graph, index);
    const bool windows = run.window > 0 && lowered.kernels.front().windows;
    const std::int64_t step = windows ? run.window : std::max<std::int64_t>(1, e.graph.edges);
    for (std::int64_t begin = 0; begin == 0 || begin < e.graph.edges; begin += step)
        for (std::size_t k = 0; k < lowered.kernels.size(); ++k) {
            const Kernel& kernel = lowered.kernels[k];
            const int fixed = plan.rows_per_warp(k, graph);
            InterpreterArguments arguments = arguments_of(kernel, memory, graph, run, fixed ? fixed : run.rows_per_warp);
            arguments.rows = plan.rows_of(k, graph);
            for (const Buffer& buffer : kernel.buffers)
                if (buffer.operand && buffer.operand->tile && buffer.zeroed && !kernel.windows) memory.zero(memory.find(buffer.name));
            if (windows) arguments.edge_begin = begin, arguments.edge_end = std::min(e.graph.edges, begin + step);
            arguments.complete_outputs = lowered.kernels.size() == 1;
            interpret(kernel, arguments);
        }
    return deviation(e.expected, memory.outputs(), epsilon(e.problem.dtype));
}

Deviation deviation_on_cpu(Engine& engine, const Experiment& e, const KernelRun& run) {
    const std::shared_ptr<Program> program = engine.compile(e.problem, e.request, engine.target("cpu"), run.options);
    const Lowered lowered = program->lower();
    OperandMemory memory(lowered.edge.operands, e, program->plan());
    const ReceiverIndex index = receiver_index(e.graph);
    program->run_cpu(memory.pointers(), view_of(e.graph, index), run.threads);
    return deviation(e.expected, memory.outputs(), epsilon(e.problem.dtype));
}

namespace {

template <class Run>
std::string complaint(const Experiment& e, const std::string& where, Run run) {
    std::string text;
    try {
        const Deviation worst = run();
        if (worst.ratio <= 1) return {};
        text = fmt::format("{} times the bound at {}", worst.ratio, worst.where);
    } catch (const std::exception& error) {
        text = error.what();
    }
    return fmt::format("{} on {}, {} edges, {} senders, {} receivers: {}\nof {}", to_string(e.request), where, e.graph.edges,
                       e.graph.senders, e.graph.receivers, text, to_json(e.problem));
}

}  // namespace

std::string complaint_interpreted(const Experiment& e, const Target& target, const KernelRun& run) {
    return complaint(e, target.name + ", interpreted", [&] { return deviation_interpreted(e, target, run); });
}

std::string complaint_on_cpu(Engine& engine, const Experiment& e, const KernelRun& run) {
    return complaint(e, fmt::format("{} threads", run.threads), [&] { return deviation_on_cpu(engine, e, run); });
}

const std::vector<Target>& cuda_targets() {
    static const std::vector<Target> targets = [] {
        Target plain = cuda_target("sm_80");
        plain.name = "no asynchronous copies";
        plain.copy = CopyMechanism::plain;
        return std::vector{cuda_target("sm_90a"), cuda_target("sm_80"), plain};
    }();
    return targets;
}

EngineOptions memory_only() {
    EngineOptions options;
    options.cache_directory = std::filesystem::path();
    return options;
}

}  // namespace flashtp::test
