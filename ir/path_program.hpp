// The exact algebra, one dense multilinear sum a path: what the oracle evaluates. Nothing is shared or factored here.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "ir/problem.hpp"
#include "ir/request.hpp"
#include "ir/view.hpp"

namespace flashtp {

/// The places of a path: z[labels z][k] += sum C_ijk x[labels x][i] y[labels y][j] h[labels h] w[labels w]. Radial weights are a
/// product: h is the hidden layer, w the matrix, and their common label is summed. Otherwise there is no h.
enum Slot { slot_x = 0, slot_y = 1, slot_w = 2, slot_z = 3, slot_h = 4 };
template <class T>
using BySlot = std::array<T, 5>;

/// C_ijk times the path's coefficient; i, j, k are components of x, y, z.
struct Coefficient {
    int i = 0, j = 0, k = 0;
    double value = 0;
    friend bool operator==(const Coefficient&, const Coefficient&) = default;
};

/// One instruction with its views and labels; an axis of extent 1 has no label. An unweighted path has no view of w, and only
/// radial weights have one of h. Paths of one instruction differ in where their weights come from: these add up.
struct Path {
    int instruction = 0;
    BySlot<std::optional<View>> views;
    BySlot<std::string> labels;  ///< one letter an axis of the view
    std::vector<Coefficient> coefficients;
    std::string name;  ///< "1o x 2e -> 3o uvu" with segment indices, for comments
    friend bool operator==(const Path&, const Path&) = default;
};

/// Whether the path's weights come from a hidden layer.
inline bool has_hidden_layer(const Path& path) { return path.views[slot_h].has_value(); }

/// The sum a path contributes, times `scale`, with the given operands in its slots; the operand in `written` receives it.
struct Term {
    int path = 0;
    BySlot<int> operand{-1, -1, -1, -1, -1};  ///< index into operands; -1: the path has no such slot
    Slot written = slot_z;
    double scale = 1;
    friend bool operator==(const Term&, const Term&) = default;
};

struct PathProgram {
    std::vector<Operand> operands;
    std::vector<Path> paths;
    std::vector<Term> terms;

    /// Index of the operand, or -1.
    int find(const std::string& name) const;
    friend bool operator==(const PathProgram&, const PathProgram&) = default;
};

/// Adjoint of every input for given adjoints of the outputs: a factor exchanged with the written slot.
PathProgram reverse(const PathProgram&);
/// Tangents of every output in the directions of the named inputs.
PathProgram linearize(const PathProgram&, const std::vector<std::string>& directions);
/// Drops the outputs not named, and the terms that only they need. Inputs stay: they are the signature.
PathProgram keep_outputs(const PathProgram&, const std::vector<std::string>& names);
/// Takes the inputs named as zero: they disappear, and with them every term that reads them. Outputs stay, zero or not.
PathProgram drop_inputs(const PathProgram&, const std::vector<std::string>& names);
/// The program of a request, from the forward program. Inputs come before outputs, both in the order of `Request`'s lists.
/// An absent cotangent is an input that is zero, no more: the gradient in it (d_t_x of an absent t_x) remains an output.
PathProgram derivative(const PathProgram& forward, const Request&);

std::string to_string(const PathProgram&);
/// Throws InternalError when a label, view or operand does not fit.
void verify(const PathProgram&);

}  // namespace flashtp
