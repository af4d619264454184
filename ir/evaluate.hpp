// The oracle: a PathProgram in double precision, term by term, with what is needed for an error bound.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "ir/graph.hpp"
#include "ir/path_program.hpp"

namespace flashtp {

/// A sum of products with the sum of their absolute values and their number: |error| <= 8 eps sqrt(terms) magnitude.
struct OracleTensor {
    std::vector<double> value, magnitude;
    std::vector<std::int64_t> terms;
};

/// Every output of the program, [rows][width] each. Missing input tensors throw InternalError.
std::map<std::string, OracleTensor> evaluate(const PathProgram&, const Graph&, const Tensors& inputs);

/// 8 eps sqrt(n) S: the bound every kernel is held to, component by component.
double error_bound(double eps, std::int64_t terms, double magnitude);

}  // namespace flashtp
