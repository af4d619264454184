// Which derivative of a problem a program computes. Names of operands follow one rule for every order.
#pragma once

#include <string>
#include <vector>

namespace flashtp {

/// Order 0: x, y, w -> z. Radial problems have h, W2 (and b) in the place of w at every order below.
/// Order 1 (backward): x, y, w, d_z -> d_x, d_y, d_w.
/// Order 2 (double backward): x, y, w, d_z and the cotangents t_x, t_y, t_w of (d_x, d_y, d_w)
///   -> t_z (gradient of d_z), t_d_x, t_d_y, t_d_w (gradients of x, y, w).
/// Order 3: all of these inputs and the cotangents d_t_z, d_t_d_x, d_t_d_y, d_t_d_w of order 2's outputs
///   -> d_x, d_y, d_w, d_d_z, d_t_x, d_t_y, d_t_w.
/// d_ means "gradient with respect to", t_ "tangent of". Unweighted problems have no w operands.
struct Request {
    int order = 0;
    std::vector<std::string> outputs;  ///< subset of the order's outputs; empty: all
    std::vector<std::string> absent;   ///< cotangents that are zero: t_* at orders 2 and 3, d_t_* at order 3
    friend bool operator==(const Request&, const Request&) = default;
};

/// The inputs that forward programs can have: x, y, w, h, W2, b.
const std::vector<std::string>& forward_inputs();
/// All outputs of an order, in the order above, for forward programs with these inputs.
std::vector<std::string> outputs_of_order(int order, const std::vector<std::string>& inputs = {"x", "y", "w"});
/// All cotangents of an order that may be absent.
std::vector<std::string> cotangents_of_order(int order, const std::vector<std::string>& inputs = {"x", "y", "w"});
/// Checks names against the two lists. Throws UserError.
void validate(const Request&);
/// "order 2, outputs t_z t_d_x, absent t_w".
std::string to_string(const Request&);

}  // namespace flashtp
