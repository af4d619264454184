#include "ir/problem.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "ir/connection_modes.hpp"
#include "ir/error.hpp"
#include "ir/limits.hpp"
#include "ir/nearest.hpp"
#include "ir/path_program.hpp"

namespace flashtp {
namespace {

std::int64_t count(std::size_t size) { return static_cast<std::int64_t>(size); }

/// "instruction 3 (1, 2, 7, uvu)", numbered from 0 as in e3nn's list.
std::string instruction_text(const Problem& problem, std::size_t n) {
    const Instruction& p = problem.instructions[n];
    return fmt::format("instruction {} ({}, {}, {}, {})", n, p.in1, p.in2, p.out, to_string(p.mode));
}

/// The three operands, with what is said about each of them in messages.
struct OperandRef {
    const char* irreps_key;
    const char* var_key;
    const Irreps& irreps;
    const std::vector<double>& var;
};

std::vector<OperandRef> operands_of(const Problem& p) {
    return {{"irreps_in1", "in1_var", p.irreps_in1, p.in1_var},
            {"irreps_in2", "in2_var", p.irreps_in2, p.in2_var},
            {"irreps_out", "out_var", p.irreps_out, p.out_var}};
}

/// Letters that stay inert in a comment of any generated language and on a terminal.
void check_name(const std::string& name) {
    check_limit(limits::max_name_bytes, "name", count(name.size()));
    constexpr std::string_view others = " _-.:,;+=/()[]<>@#%";
    for (char c : name) {
        const bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!plain && others.find(c) == std::string_view::npos)
            user_error("name {}: only letters, digits and \"{}\" are allowed", quote(name), others);
    }
}

void check_irreps(const OperandRef& operand) {
    check_limit(limits::max_segments, operand.irreps_key, count(operand.irreps.size()));
    std::int64_t width = 0;
    for (std::size_t n = 0; n < operand.irreps.size(); ++n) {
        const auto& [multiplicity, irrep] = operand.irreps[n];
        const std::string where = fmt::format("{} segment {}", operand.irreps_key, n);
        if (irrep.l < 0 || multiplicity < 0) user_error("{}: degree and multiplicity must not be negative", where);
        if (irrep.parity != 1 && irrep.parity != -1) user_error("{}: parity must be 1 or -1", where);
        check_limit(limits::max_l, where + " degree l", irrep.l);
        check_limit(limits::max_multiplicity, where + " multiplicity", multiplicity);
        width += multiplicity * irrep.dim();
    }
    check_limit(limits::max_row_width, operand.irreps_key, width);
}

void check_var(const OperandRef& operand) {
    if (operand.var.empty()) return;
    if (operand.var.size() != operand.irreps.size())
        user_error("{} has {} numbers, but {} has {} segments; it needs one a segment", operand.var_key, operand.var.size(),
                   operand.irreps_key, operand.irreps.size());
    for (std::size_t n = 0; n < operand.var.size(); ++n)
        if (!std::isfinite(operand.var[n]) || operand.var[n] < 0)
            user_error("{}[{}] = {}: a variance must be finite and not negative", operand.var_key, n, operand.var[n]);
}

void check_index(const std::string& where, const char* what, int index, const char* key, const Irreps& irreps) {
    if (index < 0 || count(irreps.size()) <= index)
        user_error("{}: {} = {} is not a segment of {}, which has {}", where, what, index, key, irreps.size());
}

/// Parity multiplies and degrees obey the triangle inequality: otherwise there is no equivariant product.
void check_selection_rules(const std::string& where, Irrep a, Irrep b, Irrep c) {
    if (a.parity * b.parity != c.parity)
        user_error("{}: parities do not multiply: {} x {} has parity {}, not that of {}", where, to_string(a), to_string(b),
                   a.parity * b.parity > 0 ? 'e' : 'o', to_string(c));
    if (c.l < std::abs(a.l - b.l) || c.l > a.l + b.l)
        user_error("{}: {} x {} holds degrees {} to {}, not {}", where, to_string(a), to_string(b), std::abs(a.l - b.l),
                   a.l + b.l, to_string(c));
}

void check_instruction(const Problem& problem, std::size_t n) {
    const Instruction& p = problem.instructions[n];
    const std::string where = instruction_text(problem, n);
    check_index(where, "in1", p.in1, "irreps_in1", problem.irreps_in1);
    check_index(where, "in2", p.in2, "irreps_in2", problem.irreps_in2);
    check_index(where, "out", p.out, "irreps_out", problem.irreps_out);
    const auto segment = [](const Irreps& irreps, int i) { return irreps[static_cast<std::size_t>(i)].irrep; };
    check_selection_rules(where, segment(problem.irreps_in1, p.in1), segment(problem.irreps_in2, p.in2),
                          segment(problem.irreps_out, p.out));
    const std::string broken = broken_constraint(p.mode, p.weighted, multiplicities(problem, p));
    if (!broken.empty()) user_error("{}: {}", where, broken);
    if (!std::isfinite(p.path_weight) || p.path_weight < 0)
        user_error("{}: path_weight {} must be finite and not negative: it is a variance, its root is taken", where,
                   p.path_weight);
}

/// Bound on the non-zero 3j symbols of a triple: two components fix the absolute value of the third's m up to two choices, and
/// its sign.
std::int64_t entries_bound(int l1, int l2, int l3) {
    const std::int64_t d1 = 2 * l1 + 1, d2 = 2 * l2 + 1, d3 = 2 * l3 + 1;
    return 2 * std::min({d1 * d2, d2 * d3, d1 * d3});
}

double largest_of(DType dtype) {
    return dtype == DType::float32 ? std::numeric_limits<float>::max() : std::numeric_limits<double>::max();
}

/// Every weight takes part in a multiply-add, so that the limit on work bounds the row of weights as well.
void check_work(const Problem& problem) {
    std::int64_t entries = 0, work = 0;
    for (std::size_t n = 0; n < problem.instructions.size(); ++n) {
        const Instruction& p = problem.instructions[n];
        const Multiplicities m = multiplicities(problem, p);
        const auto l = [](const Irreps& irreps, int i) { return irreps[static_cast<std::size_t>(i)].irrep.l; };
        const int l3 = l(problem.irreps_out, p.out);
        const std::int64_t bound = entries_bound(l(problem.irreps_in1, p.in1), l(problem.irreps_in2, p.in2), l3);
        entries += bound;
        const std::int64_t products = saturating_multiply(bound, product_of_extents(union_of_labels(p.mode, false), m));
        const std::int64_t weighting =
            p.weighted ? saturating_multiply(2 * l3 + 1, product_of_extents(union_of_labels(p.mode, true), m)) : 0;
        work = saturating_add(work, saturating_add(products, weighting));
        check_limit(limits::max_entries, instruction_text(problem, n), entries);
        check_limit(limits::max_work, instruction_text(problem, n), work);
    }
}

/// The product is work an edge as well: it bounds the matrix.
void check_radial(const Problem& problem) {
    if (!problem.radial) return;
    const Radial& radial = *problem.radial;
    if (radial.hidden < 1) user_error("radial: hidden is {}; it must be 1 or more", radial.hidden);
    check_limit(limits::max_hidden, "radial: hidden", radial.hidden);
    const double largest = largest_of(problem.dtype);
    if (!std::isfinite(radial.scale) || radial.scale == 0 || std::abs(radial.scale) > largest)
        user_error("radial: scale is {}; it must be finite, fit {} and not be zero", radial.scale, to_string(problem.dtype));
    if (problem.shared_weights) user_error("radial: weights of a hidden layer belong to an edge each; shared_weights must be false");
    if (weight_numel(problem) == 0) user_error("radial: no instruction has weights");
    check_limit(limits::max_work, "radial: hidden times weights", saturating_multiply(radial.hidden, weight_numel(problem)));
}

void check_storage(const Problem& problem, const char* key, std::optional<DType> storage) {
    if (!storage || *storage == problem.dtype) return;
    if (!is_storage_only(*storage) || problem.dtype != DType::float32)
        user_error("{}: {} beside dtype {}; bfloat16 and float16 go with float32", key, to_string(*storage), to_string(problem.dtype));
}

void check_storage(const Problem& problem) {
    check_storage(problem, "dtype_in2", problem.dtype_in2);
    check_storage(problem, "dtype_weights", problem.dtype_weights);
    if (problem.radial && problem.dtype_weights) user_error("dtype_weights: with radial there are no weights in memory");
}

void check_coefficients(const Problem& problem) {
    const std::vector<double> coefficients = path_coefficients(problem);
    const double largest = largest_of(problem.dtype);
    for (std::size_t n = 0; n < coefficients.size(); ++n)
        if (!(coefficients[n] <= largest))
            user_error("{}: its coefficient {} does not fit {}; check path_weight and the variances",
                       instruction_text(problem, n), coefficients[n], to_string(problem.dtype));
}

double variance(const std::vector<double>& var, int segment) {
    return var.empty() ? 1.0 : var[static_cast<std::size_t>(segment)];
}

/// Variance of one output channel's sum before path weights.
double input_variance(const Problem& problem, const Instruction& p) {
    return variance(problem.in1_var, p.in1) * variance(problem.in2_var, p.in2) *
           static_cast<double>(fan_in(p.mode, multiplicities(problem, p)));
}

/// A of e3nn's formula: undoes the 3j symbol's own normalisation.
double irrep_factor(const Problem& problem, const Instruction& p) {
    const auto dim = [](const Irreps& irreps, int i) { return irreps[static_cast<std::size_t>(i)].irrep.dim(); };
    switch (problem.irrep_normalization) {
    case IrrepNormalization::component: return dim(problem.irreps_out, p.out);
    case IrrepNormalization::norm: return dim(problem.irreps_in1, p.in1) * dim(problem.irreps_in2, p.in2);
    case IrrepNormalization::none: return 1.0;
    }
    internal_error("irrep normalization {}", static_cast<int>(problem.irrep_normalization));
}

/// What all instructions into one output segment have in common.
struct OutputSum {
    double variance = 0;
    std::int64_t instructions = 0;
};

/// By segment of the output; instructions with zero weight or zero multiplicity count as well, as in e3nn.
std::vector<OutputSum> sums_by_output(const Problem& problem) {
    std::vector<OutputSum> sums(problem.irreps_out.size());
    for (const Instruction& p : problem.instructions) {
        OutputSum& sum = sums[static_cast<std::size_t>(p.out)];
        sum.variance += input_variance(problem, p);
        ++sum.instructions;
    }
    return sums;
}

/// X of e3nn's formula.
double path_divisor(const Problem& problem, const Instruction& p, const OutputSum& sum) {
    switch (problem.path_normalization) {
    case PathNormalization::element: return sum.variance;
    case PathNormalization::path: return input_variance(problem, p) * static_cast<double>(sum.instructions);
    case PathNormalization::none: return 1.0;
    }
    internal_error("path normalization {}", static_cast<int>(problem.path_normalization));
}

}  // namespace

void validate(const Problem& problem) {
    check_name(problem.name);
    for (const OperandRef& operand : operands_of(problem)) {
        check_irreps(operand);
        check_var(operand);
    }
    check_limit(limits::max_instructions, "instructions", count(problem.instructions.size()));
    for (std::size_t n = 0; n < problem.instructions.size(); ++n) check_instruction(problem, n);
    check_work(problem);
    check_radial(problem);
    check_storage(problem);
    check_coefficients(problem);
}

std::vector<std::int64_t> path_shape(const Problem& problem, const Instruction& instruction) {
    return path_shape(instruction.mode, multiplicities(problem, instruction));
}

std::int64_t weight_numel(const Problem& problem) {
    std::int64_t total = 0;
    for (const Instruction& p : problem.instructions)
        if (p.weighted)
            total = saturating_add(total, product_of_extents(row_of(p.mode).labels[slot_w], multiplicities(problem, p)));
    return total;
}

std::vector<double> path_coefficients(const Problem& problem) {
    const std::vector<OutputSum> sums = sums_by_output(problem);
    std::vector<double> coefficients;
    coefficients.reserve(problem.instructions.size());
    for (const Instruction& p : problem.instructions) {
        // The order of operations is e3nn's, so that the last bit agrees too.
        double square = irrep_factor(problem, p);
        const double divisor = path_divisor(problem, p, sums[static_cast<std::size_t>(p.out)]);
        if (divisor > 0) square /= divisor;
        square *= variance(problem.out_var, p.out);
        square *= p.path_weight;
        coefficients.push_back(std::sqrt(square));
    }
    return coefficients;
}

std::string_view to_string(ConnectionMode mode) { return row_of(mode).name; }

std::string_view to_string(IrrepNormalization normalization) {
    switch (normalization) {
    case IrrepNormalization::component: return "component";
    case IrrepNormalization::norm: return "norm";
    case IrrepNormalization::none: return "none";
    }
    internal_error("irrep normalization {}", static_cast<int>(normalization));
}

std::string_view to_string(PathNormalization normalization) {
    switch (normalization) {
    case PathNormalization::element: return "element";
    case PathNormalization::path: return "path";
    case PathNormalization::none: return "none";
    }
    internal_error("path normalization {}", static_cast<int>(normalization));
}

std::string_view to_string(Layout layout) { return layout == Layout::mul_ir ? "mul_ir" : "ir_mul"; }

}  // namespace flashtp
