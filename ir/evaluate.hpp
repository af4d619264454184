// The oracle: a PathProgram in double precision, term by term, with what is needed for an error bound.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "ir/graph.hpp"
#include "ir/path_program.hpp"

namespace flashtp {

/// A sum of products with the sum of their absolute values and their number: |error| <= 8 eps sqrt(terms) magnitude.
struct OracleTensor {
    std::vector<double> value, magnitude;
    std::vector<std::int64_t> terms;
    std::optional<DType> storage = {};  ///< of a result in memory, where it is not the arithmetic's type
};

/// Every output of the program, [rows][width] each. Missing input tensors throw InternalError.
std::map<std::string, OracleTensor> evaluate(const PathProgram&, const Graph&, const Tensors& inputs);

/// 8 eps sqrt(n) S: the bound every kernel is held to, component by component.
double error_bound(double eps, std::int64_t terms, double magnitude);
/// The same of a tensor's component, and half a unit in the last place of the type it is stored in.
double error_bound(double eps, const OracleTensor&, std::size_t component);

}  // namespace flashtp
