// What the user asks for: irreps, instructions, normalisation, rows, element type and layouts. JSON in and out.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ir/dtype.hpp"
#include "ir/irreps.hpp"

namespace flashtp {

/// How the channels of the two inputs meet (e3nn's connection modes; `ir/connection_modes.hpp` has one row a mode).
enum class ConnectionMode { uvw, uvu, uvv, uuw, uuu, uvuv, uvu_lt_v, u_lt_vw };

enum class IrrepNormalization { component, norm, none };
enum class PathNormalization { element, path, none };

/// Order of channel and component inside a segment: mul_ir is [multiplicity][2l+1] (e3nn), ir_mul is [2l+1][multiplicity].
enum class Layout { mul_ir, ir_mul };

/// One path: segment in1[i] (x) in2[j] -> out[k]. path_weight is e3nn's: a variance, inside the root of the coefficient.
struct Instruction {
    int in1 = 0, in2 = 0, out = 0;
    ConnectionMode mode = ConnectionMode::uvu;
    bool weighted = true;
    double path_weight = 1.0;
    friend bool operator==(const Instruction&, const Instruction&) = default;
};

/// Weights that the last layer of a radial network makes: w[e] = scale * h[e] W2 (+ b). The operands are h, a row an edge, the
/// matrix W2 [hidden][weight_numel] and, with a bias, the row b; w itself is no operand.
struct Radial {
    std::int64_t hidden = 0;
    double scale = 1;
    bool bias = false;
    friend bool operator==(const Radial&, const Radial&) = default;
};

struct Problem {
    std::string name;
    Irreps irreps_in1, irreps_in2, irreps_out;
    std::vector<Instruction> instructions;
    std::vector<double> in1_var, in2_var, out_var;  ///< empty: all ones; else one a segment
    IrrepNormalization irrep_normalization = IrrepNormalization::component;
    PathNormalization path_normalization = PathNormalization::element;
    bool shared_weights = false;  ///< one weight row for all edges instead of one an edge
    std::optional<Radial> radial;  ///< weights are produced, not given
    bool convolution = true;      ///< x is gathered by sender and the result summed by receiver; else every row is its own edge
    bool deterministic = false;   ///< the same inputs give the same bits in every run, for any number of threads
    bool strict = false;          ///< every product and every sum is rounded: no fused multiply-adds
    DType dtype = DType::float32;
    std::optional<DType> dtype_in2, dtype_weights;  ///< of y, and of w and the gradients in it, in memory; none: dtype
    Layout layout_in1 = Layout::mul_ir, layout_in2 = Layout::mul_ir, layout_out = Layout::mul_ir;
    friend bool operator==(const Problem&, const Problem&) = default;
};

/// Checks every rule (indices, selection rules, multiplicity constraints of the mode, limits). Throws UserError naming the
/// instruction and the rule, LimitError naming the limit.
void validate(const Problem&);

/// Extents of an instruction's weight, slowest axis first (e3nn's path_shape).
std::vector<std::int64_t> path_shape(const Problem&, const Instruction&);
/// Number of weights: the sum over weighted instructions of the product of their path_shape.
std::int64_t weight_numel(const Problem&);
/// e3nn's final coefficient of every instruction, sqrt(A * out_var * path_weight / X); see docs/design/semantics.md.
std::vector<double> path_coefficients(const Problem&);

/// Reads the JSON object documented in docs/spec.md; unknown keys are an error that suggests the nearest known one.
/// The result is validated. Throws UserError or LimitError.
Problem parse_problem(std::string_view json);
/// Canonical JSON: every key, fixed order. parse_problem(to_json(p)) == p.
std::string to_json(const Problem&, int indent = -1);

std::string_view to_string(ConnectionMode);
std::string_view to_string(IrrepNormalization);
std::string_view to_string(PathNormalization);
std::string_view to_string(Layout);

}  // namespace flashtp
