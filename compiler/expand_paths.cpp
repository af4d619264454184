#include "compiler/expand_paths.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string_view>

#include <fmt/format.h>

#include "compiler/couplings.hpp"
#include "ir/connection_modes.hpp"

namespace flashtp {
namespace {

/// One segment of an operand's row as the instructions see it.
struct Segment {
    std::int64_t offset, multiplicity, channel_stride, component_stride;
    int components;
};

Segment segment_of(const Irreps& irreps, int index, Layout layout) {
    const MulIrrep& part = irreps[static_cast<std::size_t>(index)];
    const bool channels_outside = layout == Layout::mul_ir;
    return {irreps.offset(static_cast<std::size_t>(index)), part.multiplicity, channels_outside ? part.irrep.dim() : 1,
            channels_outside ? 1 : part.multiplicity, part.irrep.dim()};
}

/// Labels and view of one slot while they are put together.
struct Labelled {
    std::string labels;
    View view;
};

/// Axes over the labels, the last one fastest with the given stride; an axis of extent 1 is no axis.
void add_axes(Labelled& slot, std::string_view labels, const Multiplicities& m, std::int64_t stride) {
    for (auto label = labels.rbegin(); label != labels.rend(); ++label) {
        const std::int64_t extent = extent_of(*label, m);
        if (extent != 1) {
            slot.labels.insert(slot.labels.begin(), *label);
            slot.view.axes.insert(slot.view.axes.begin(), {extent, stride});
        }
        stride *= extent;
    }
}

/// A segment whose channels are numbered by the labels, row-major: one label, or (u, v) for the output of uvuv.
Labelled channels(const Segment& segment, std::string_view labels, const Multiplicities& m) {
    Labelled slot{{}, {segment.offset, {}, segment.components, segment.component_stride, {}}};
    add_axes(slot, labels, m, segment.channel_stride);
    return slot;
}

/// A segment whose label runs over the pairs u < v and means channel u, or v for the second input.
Labelled pairs(const Segment& segment, const Multiplicities& m, bool second) {
    Labelled slot = channels(segment, "q", m);
    if (!slot.labels.empty())
        slot.view.pair = PairAxis{segment.multiplicity, second};
    else if (second)
        slot.view.offset += segment.channel_stride;  // the only pair is (0, 1)
    return slot;
}

Labelled input(const Segment& segment, std::string_view labels, const Multiplicities& m, bool second) {
    return labels == "q" ? pairs(segment, m, second) : channels(segment, labels, m);
}

/// Weights are a dense block in the order of path_shape.
Labelled weights(std::int64_t offset, std::string_view labels, const Multiplicities& m) {
    Labelled slot;
    slot.view.offset = offset;
    add_axes(slot, labels, m, 1);
    return slot;
}

std::string describe(const Problem& problem, const Instruction& instruction) {
    const auto part = [](const Irreps& irreps, int index) {
        return fmt::format("{}[{}]", to_string(irreps[static_cast<std::size_t>(index)].irrep), index);
    };
    return fmt::format("{} x {} -> {} {}{}", part(problem.irreps_in1, instruction.in1), part(problem.irreps_in2, instruction.in2),
                       part(problem.irreps_out, instruction.out), to_string(instruction.mode),
                       instruction.weighted ? "" : " unweighted");
}

/// Factor and coupling are roots of rationals, each rounded: where their product is within these roundings of 1 it is 1 (sqrt(3) /
/// sqrt(3)), and costs no multiplication.
double coefficient(double factor, double coupling) {
    const double product = factor * coupling;
    const bool is_one = std::abs(std::abs(product) - 1) <= 2 * std::numeric_limits<double>::epsilon();
    return is_one ? std::copysign(1.0, product) : product;
}

std::vector<Coefficient> coefficients(const Problem& problem, const Instruction& instruction, double factor) {
    const auto degree = [](const Irreps& irreps, int index) { return irreps[static_cast<std::size_t>(index)].irrep.l; };
    std::vector<Coefficient> result;
    for (const Coupling3j& c : wigner_3j(degree(problem.irreps_in1, instruction.in1), degree(problem.irreps_in2, instruction.in2),
                                         degree(problem.irreps_out, instruction.out)))
        result.push_back({c.i, c.j, c.k, coefficient(factor, c.value)});
    return result;
}

Path path_of(const Problem& problem, int index, double factor, std::int64_t weight_offset) {
    const Instruction& instruction = problem.instructions[static_cast<std::size_t>(index)];
    const auto& labels = row_of(instruction.mode).labels;
    const Multiplicities m = multiplicities(problem, instruction);

    Path path;
    path.instruction = index;
    path.name = describe(problem, instruction);
    path.coefficients = coefficients(problem, instruction, factor);
    const auto place = [&path](Slot slot, Labelled labelled) {
        path.labels[slot] = std::move(labelled.labels);
        path.views[slot] = std::move(labelled.view);
    };
    place(slot_x, input(segment_of(problem.irreps_in1, instruction.in1, problem.layout_in1), labels[slot_x], m, false));
    place(slot_y, input(segment_of(problem.irreps_in2, instruction.in2, problem.layout_in2), labels[slot_y], m, true));
    place(slot_z, channels(segment_of(problem.irreps_out, instruction.out, problem.layout_out), labels[slot_z], m));
    if (instruction.weighted) place(slot_w, weights(weight_offset, labels[slot_w], m));
    return path;
}

/// The same path with the weights of a matrix: one more axis, which the hidden layer has as well and which is summed.
Path with_hidden_axis(Path path, std::int64_t hidden, std::int64_t weights) {
    Labelled row{{}, {0, {}, 1, 1, {}}};
    if (hidden > 1) {
        row = {"h", {0, {{hidden, 1}}, 1, 1, {}}};
        path.labels[slot_w].insert(path.labels[slot_w].begin(), 'h');
        path.views[slot_w]->axes.insert(path.views[slot_w]->axes.begin(), {hidden, weights});
    }
    path.labels[slot_h] = row.labels;
    path.views[slot_h] = row.view;
    path.name += " radial";
    return path;
}

std::vector<Operand> operands_of(const Problem& problem) {
    const auto row = [&](Row in_convolution) { return problem.convolution ? in_convolution : Row::edge; };
    const auto storage = [&](std::optional<DType> wanted) { return wanted == problem.dtype ? std::nullopt : wanted; };
    std::vector<Operand> operands{{"x", problem.irreps_in1.dim(), row(Row::sender), Role::input},
                                  {"y", problem.irreps_in2.dim(), Row::edge, Role::input, false, storage(problem.dtype_in2)}};
    const std::int64_t weights = weight_numel(problem);
    const std::optional<DType> weights_storage = storage(problem.dtype_weights);
    if (problem.radial) {
        operands.push_back({"h", problem.radial->hidden, Row::edge, Role::input});
        operands.push_back({"W2", problem.radial->hidden * weights, Row::shared, Role::input});
        if (problem.radial->bias) operands.push_back({"b", weights, Row::shared, Role::input});
    } else if (weights > 0) {
        operands.push_back({"w", weights, problem.shared_weights ? Row::shared : Row::edge, Role::input, false,
                            weights_storage, weights_storage && !problem.shared_weights});
    }
    operands.push_back({"z", problem.irreps_out.dim(), row(Row::receiver), Role::output});
    return operands;
}

void add_term(PathProgram& program, Path path, const char* weights, double scale) {
    Term term{static_cast<int>(program.paths.size()), {}, slot_z, scale};
    const BySlot<const char*> names{"x", "y", weights, "z", "h"};
    for (std::size_t slot = 0; slot < names.size(); ++slot) term.operand[slot] = path.views[slot] ? program.find(names[slot]) : -1;
    program.paths.push_back(std::move(path));
    program.terms.push_back(term);
}

void add_path(PathProgram& program, Path path, const Problem& problem) {
    if (problem.radial && path.views[slot_w])
        add_term(program, with_hidden_axis(std::move(path), problem.radial->hidden, weight_numel(problem)), "W2",
                 problem.radial->scale);
    else
        add_term(program, std::move(path), "w", 1);
}

}  // namespace

PathProgram expand_paths(const Problem& problem) {
    validate(problem);
    PathProgram program;
    program.operands = operands_of(problem);

    const std::vector<double> factors = path_coefficients(problem);
    std::int64_t weight_offset = 0;
    std::vector<Path> biases;
    for (std::size_t index = 0; index < problem.instructions.size(); ++index) {
        const Instruction& instruction = problem.instructions[index];
        const auto& row = row_of(instruction.mode);
        const Multiplicities m = multiplicities(problem, instruction);
        const std::int64_t weights = product_of_extents(row.labels[slot_w], m);
        const bool contributes =
            factors[index] != 0 && product_of_extents(union_of_labels(instruction.mode, true), m) > 0 && m.out > 0;
        if (contributes) {
            Path path = path_of(problem, static_cast<int>(index), factors[index], weight_offset);
            if (instruction.weighted && problem.radial && problem.radial->bias) biases.push_back(path);
            add_path(program, std::move(path), problem);
        }
        if (instruction.weighted) weight_offset += weights;
    }
    // Last, so that paths are numbered like those of a problem without bias.
    for (Path& path : biases) add_term(program, std::move(path), "b", 1);
    verify(program);
    return program;
}

}  // namespace flashtp
