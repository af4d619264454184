// The statements around a convolution whose weights are made by a layer, read as matrix products.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "ir/edge_program.hpp"

namespace flashtp {

/// A value as a matrix or row vector: which of the three axes it has, and where it begins in its operand.
struct Factor {
    OperandId operand = 0;
    bool edge = false, hidden = false, column = false;
    std::int64_t first = 0, hidden_stride = 0;

    friend bool operator==(const Factor&, const Factor&) = default;
};

struct Product {
    Factor dst, a;
    std::optional<Factor> b;
    double coefficient = 1;
    std::int64_t hidden = 1, columns = 1;

    std::vector<Factor*> factors() { return b ? std::vector{&dst, &a, &*b} : std::vector{&dst, &a}; }
};

/// The products of a program, those with the same destination and columns together: they share their loops. Throws InternalError
/// where a statement is no product.
std::vector<std::vector<Product>> read_products(const EdgeProgram&);

}  // namespace flashtp
