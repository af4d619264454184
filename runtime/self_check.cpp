#include "runtime/self_check.hpp"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>

#include "compiler/expand_paths.hpp"
#include "ir/error.hpp"
#include "ir/interpret.hpp"
#include "runtime/backend_llvm.hpp"
#include "runtime/device.hpp"
#include "runtime/edges.hpp"

namespace flashtp {
namespace {

/// Not the library's distributions: their results differ between implementations.
double draw_value(std::mt19937_64& random) { return static_cast<double>(random() >> 11) * 0x1p-52 - 1; }
std::int32_t draw_row(std::mt19937_64& random, std::int64_t rows) {
    return static_cast<std::int32_t>(random() % static_cast<std::uint64_t>(rows));
}

Graph random_graph(const Problem& problem, const SampleOptions& options, std::mt19937_64& random) {
    if (!problem.convolution) return {options.edges, options.edges, options.edges, {}, {}};
    if (options.nodes == 0 && options.edges > 0) user_error("{} edges need at least one node", options.edges);
    Graph graph{options.edges, options.nodes, options.nodes, {}, {}};
    for (std::int64_t e = 0; e < options.edges; ++e) {
        graph.sender.push_back(draw_row(random, options.nodes));
        graph.receiver.push_back(draw_row(random, options.nodes));
    }
    if (options.sorted) std::sort(graph.receiver.begin(), graph.receiver.end());
    return graph;
}

void to_dtype(const std::vector<double>& values, DType dtype, std::byte* to) {
    for (std::size_t i = 0; i < values.size(); ++i) store_element(to, static_cast<std::int64_t>(i), values[i], dtype);
}

std::vector<double> from_dtype(const std::byte* from, DType dtype, std::size_t count) {
    std::vector<double> values(count);
    for (std::size_t i = 0; i < count; ++i) values[i] = load_element(from, static_cast<std::int64_t>(i), dtype);
    return values;
}

/// 0 where the result is exact, so that a bound of 0 can be met.
double ratio_of(double error, double bound) {
    if (error == 0) return 0;
    if (std::isnan(error) || bound == 0) return std::numeric_limits<double>::infinity();
    return error / bound;
}

OutputCheck compare(const Operand& operand, const OracleTensor& expected, const std::vector<double>& found, double eps) {
    OutputCheck check{.output = operand.name, .components = static_cast<std::int64_t>(found.size())};
    if (found.size() != expected.value.size()) {
        internal_error("output {} has {} components, the oracle's has {}", operand.name, found.size(), expected.value.size());
    }
    for (std::size_t i = 0; i < found.size(); ++i) {
        const double bound = error_bound(eps, expected, i);
        const double ratio = ratio_of(std::fabs(found[i] - expected.value[i]), bound);
        if (i > 0 && ratio <= check.ratio) continue;
        const auto at = static_cast<std::int64_t>(i);
        check.ratio = ratio;
        check.row = at / operand.width;
        check.column = at % operand.width;
        check.found = found[i];
        check.expected = expected.value[i];
        check.bound = bound;
    }
    return check;
}

}  // namespace

Sample random_sample(const Problem& problem, const std::vector<Operand>& operands, const SampleOptions& options) {
    std::mt19937_64 random(options.seed);
    Sample sample{random_graph(problem, options, random), {}};
    for (const Operand& operand : operands) {
        if (operand.role != Role::input) continue;
        std::vector<double> values(static_cast<std::size_t>(sample.graph.rows(operand.row) * operand.width));
        for (double& value : values) {
            value = rounded_to(operand.storage.value_or(problem.dtype), draw_value(random));
        }
        sample.inputs.emplace(operand.name, std::move(values));
    }
    return sample;
}

HostOperands::HostOperands(const std::vector<ProgramOperand>& operands, const Sample& sample) : operands_(operands) {
    for (const ProgramOperand& operand : operands) add(operand, sample.graph.rows(operand.row), sample);
}

HostOperands::HostOperands(const LaunchPlan& plan, const GraphView& graph, const Sample& sample) : HostOperands(plan.operands, sample) {
    for (const ProgramOperand& tile : plan.tiles) add(tile, plan.rows_of(tile, graph), sample);
}

void HostOperands::add(const ProgramOperand& operand, std::int64_t rows, const Sample& sample) {
    const auto count = static_cast<std::size_t>(rows * operand.width);
    // All bits set is a NaN in all types.
    std::vector<std::byte>& memory = memory_.emplace_back(count * size_of(operand.dtype), std::byte{0xff});
    const auto input = sample.inputs.find(operand.name);  // tiles are none
    if (input != sample.inputs.end()) to_dtype(input->second, operand.dtype, memory.data());
}

std::vector<void*> HostOperands::pointers() {
    std::vector<void*> pointers;
    for (auto& memory : memory_) pointers.push_back(memory.data());
    return pointers;
}

std::vector<std::span<std::byte>> HostOperands::memory() { return {memory_.begin(), memory_.end()}; }

Tensors HostOperands::outputs() const {
    Tensors outputs;
    for (std::size_t i = 0; i < operands_.size(); ++i) {
        const ProgramOperand& operand = operands_[i];
        if (operand.role != Role::output) continue;
        outputs.emplace(operand.name, from_dtype(memory_[i].data(), operand.dtype, memory_[i].size() / size_of(operand.dtype)));
    }
    return outputs;
}

Expected expect(const Problem& problem, const Request& request, const Sample& sample) {
    Expected expected{derivative(expand_paths(problem), request), {}};
    expected.outputs = evaluate(expected.program, sample.graph, sample.inputs);
    return expected;
}

std::vector<Operand> operands_of(const Problem& problem, const Request& request) {
    return derivative(expand_paths(problem), request).operands;
}

std::vector<OutputCheck> compare(const Expected& expected, const Tensors& found, double eps) {
    std::vector<OutputCheck> checks;
    for (const Operand& operand : expected.program.operands) {
        if (operand.role != Role::output) continue;
        const auto tensor = found.find(operand.name);
        if (tensor == found.end()) internal_error("the program has no output {}", operand.name);
        checks.push_back(compare(operand, expected.outputs.at(operand.name), tensor->second, eps));
    }
    return checks;
}

Tensors run_on_cpu(const Program& program, const Sample& sample, int threads) {
    HostOperands operands(program.operands(), sample);
    const ReceiverIndex index = receiver_index(sample.graph);
    program.run_cpu(operands.pointers(), view_of(sample.graph, index), threads);
    return operands.outputs();
}

bool runs_here(const Target& target) {
    if (target.platform == Platform::cpu) return missing_features(target).empty();
    if (!has_cuda_device()) return false;
    const int device = current_device().compute_capability, wanted = target.compute_capability;
    // A suffix ties code to its own architecture; other code runs on later ones of its generation.
    const bool tied = !std::isdigit(static_cast<unsigned char>(target.name.back()));
    return tied ? device == wanted : device / 10 == wanted / 10 && device >= wanted;
}

std::string self_check(const Program& program, int threads) {
    const Problem& problem = program.problem();
    const Request& request = program.request();
    const Sample sample = random_sample(problem, operands_of(problem, request), {.edges = 40, .nodes = 6, .seed = 1});
    const bool cuda = program.target().platform == Platform::cuda;
    const Tensors found = cuda ? run_on_cuda(program, sample) : run_on_cpu(program, sample, threads);
    for (const OutputCheck& check : compare(expect(problem, request, sample), found, epsilon(problem.dtype))) {
        if (!check.ok())
            return fmt::format("{}[{}][{}] is {:.9g}, expected {:.9g} within {:.2g}", check.output, check.row, check.column,
                               check.found, check.expected, check.bound);
    }
    return {};
}

InterpreterBuffer index_buffer(const Kernel& kernel, const std::string& name, const GraphView& graph) {
    const auto buffer = [](const std::int32_t* data, std::int64_t elements) {
        return InterpreterBuffer{const_cast<std::int32_t*>(data), data ? elements : 0};
    };
    const bool sums = kernel.sums.has_value();
    if (name == "row_ptr") return sums ? buffer(graph.sender_ptr, graph.senders + 1) : buffer(graph.row_ptr, graph.receivers + 1);
    if (name == "sender") return sums ? InterpreterBuffer{} : buffer(graph.sender, graph.edges);
    return buffer(sums ? graph.position : graph.edge, graph.edges);
}

namespace {

/// Zeroes what kernels hand each other: parts of sums before the first kernel, tiles before each.
void zero_between(const LaunchPlan& plan, const Kernel& kernel, bool tiles, HostOperands& operands) {
    for (const Buffer& buffer : kernel.buffers) {
        const auto between = std::ranges::find(plan.tiles, buffer.name, &ProgramOperand::name);
        if (between == plan.tiles.end() || !buffer.zeroed) continue;
        if ((buffer.operand->tile && !kernel.windows) != tiles) continue;  // all kernels with windows add to one tile
        const std::size_t number = plan.operands.size() + static_cast<std::size_t>(between - plan.tiles.begin());
        const std::span<std::byte> memory = operands.memory()[number];
        std::ranges::fill(memory, std::byte{0});
    }
}

}  // namespace

Tensors run_interpreted(const Lowered& lowered, DType dtype, const Sample& sample, int rows_per_warp, std::uint64_t shuffled) {
    const LaunchPlan plan = plan_of(lowered, dtype);
    const ReceiverIndex index = receiver_index(sample.graph, lowered.schedule.deterministic);
    const GraphView graph = view_of(sample.graph, index);
    HostOperands operands(plan, graph, sample);
    const std::vector<std::span<std::byte>> memory = operands.memory();
    for (const Kernel& kernel : lowered.kernels) zero_between(plan, kernel, false, operands);
    for (const OutputRule& rule : plan.outputs)
        if (rule.zeroed) std::ranges::fill(memory[static_cast<std::size_t>(rule.operand)], std::byte{0});
    for (std::size_t k = 0; k < lowered.kernels.size(); ++k) {
        const Kernel& kernel = lowered.kernels[k];
        InterpreterArguments arguments;
        std::size_t number = 0;
        for (const Buffer& buffer : kernel.buffers) {
            if (buffer.kind == BufferKind::table) continue;
            const int source = plan.arguments[k].sources()[number++];
            if (buffer.kind == BufferKind::index) {
                arguments.buffers.push_back(index_buffer(kernel, buffer.name, graph));
                continue;
            }
            const std::span<std::byte> of_operand = memory[static_cast<std::size_t>(source)];
            arguments.buffers.push_back({of_operand.data(), static_cast<std::int64_t>(of_operand.size() / size_of(buffer.dtype))});
        }
        zero_between(plan, kernel, true, operands);
        const int fixed = plan.rows_per_warp(k, graph);
        arguments.rows = plan.rows_of(k, graph);
        arguments.rows_per_warp = fixed ? fixed : rows_per_warp;
        arguments.shuffled = shuffled;
        arguments.complete_outputs = lowered.kernels.size() == 1;
        interpret(kernel, arguments);
    }
    return operands.outputs();
}

}  // namespace flashtp
