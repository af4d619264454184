// Clebsch-Gordan couplings between real irreps, computed exactly up to the last conversion to double.
#pragma once

#include <vector>

namespace flashtp {

/// One non-zero entry of a coupling: component i of l1, j of l2, k of l3.
struct Coupling3j {
    int i = 0, j = 0, k = 0;
    double value = 0;
    friend bool operator==(const Coupling3j&, const Coupling3j&) = default;
};

/// The non-zero entries of e3nn's real wigner_3j(l1, l2, l3), sorted by i, j, k; the sum of their squares is 1. Which entries are
/// zero is decided in integers. Throws InternalError when |l1 - l2| <= l3 <= l1 + l2 does not hold or a degree is above 16.
std::vector<Coupling3j> wigner_3j(int l1, int l2, int l3);

}  // namespace flashtp
