// Errors against the oracle, as multiples of the bound every component is held to.
#pragma once

#include <map>
#include <string>

#include "ir/evaluate.hpp"

namespace flashtp::test {

struct Deviation {
    double ratio = 0;  ///< largest |error| / bound; infinite where one is not a number or a tensor is missing or has another size
    std::string where;  ///< "d_x[17]: 0.25, not 0.5"
};

Deviation deviation(const std::map<std::string, OracleTensor>& expected, const Tensors& actual, double eps);

}  // namespace flashtp::test
