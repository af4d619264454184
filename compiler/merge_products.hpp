// Fewer operations for the sums r_k = C_ijk x_i y_j of many paths over the same products. Real couplings use most products in pairs:
// with components numbered by m, a product of m and m' comes with the one of -m and -m', added or subtracted, and with coefficients of
// equal size. So such a pair is computed once, and every row that has it needs one term for two.
#pragma once

#include <vector>

#include "compiler/linear_forms.hpp"

namespace flashtp {

/// Operations that a product and a term of a row stand for in the derivative at hand.
struct MergeCosts {
    int product = 1, term = 1;
};
/// Of the forward program and its derivatives: a product has two adjoints and a term one; each of these has two tangents.
MergeCosts merge_costs(int order);

struct MergedProducts {
    std::vector<LinearForm> sums;  ///< one product, or two with coefficients 1 and 1 or -1
    std::vector<LinearForm> rows;  ///< the rows in terms of sums
};
/// `rows` are forms in products. Their value is unchanged; the cost is never above that of the products alone.
MergedProducts merge_products(const std::vector<LinearForm>& rows, MergeCosts costs);

/// By row, a positive number to take out of its coefficients so that one of them is 1 or -1; 1 for rows that share none with at least
/// `fewest` rows of the path. What is taken out scales the weight instead, once for all these rows.
std::vector<double> common_scales(const std::vector<LinearForm>& rows, int fewest);

/// The form divided by a number, with what is 1 or -1 to rounding exactly so, and in front: a sum that starts with it saves a product.
LinearForm divided(const LinearForm& form, double scale);

}  // namespace flashtp
