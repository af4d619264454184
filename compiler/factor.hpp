// From the exact algebra to statements: which intermediate values there are, and which paths share them.
#pragma once

#include <string_view>

#include "ir/edge_program.hpp"
#include "ir/path_program.hpp"

namespace flashtp {

/// The order in which a path z = sum C_ijk w x_i y_j is evaluated.
enum class Factoring {
    merged,         ///< as products, where pairs of products and scales of rows that coefficients share are taken out; forward,
                    ///< the only component of x or y takes the weight first: z_k += (w x_0) y_k
    products,       ///< p_ij = x_i y_j;        r_k = C_ijk p_ij;     z_k += w r_k
    coefficients,   ///< M_ik = C_ijk y_j;      r_k = M_ik x_i;       z_k += w r_k
    weights_first,  ///< M_ik = C_ijk y_j;      s_i = w x_i;          z_k += M_ik s_i
};

std::string_view to_string(Factoring);
/// Throws UserError that lists the names.
Factoring parse_factoring(std::string_view name);

/// Products of the same segments and equal linear forms in y are computed once for all paths. A weight that is shared by edges,
/// or that has an axis neither x nor y has, cannot come first: such a path falls back to coefficients. `order` is the
/// derivative that will be taken: what is worth merging depends on how often its operations come back.
EdgeProgram factor(const PathProgram& forward, Factoring, int order = 0);

}  // namespace flashtp
