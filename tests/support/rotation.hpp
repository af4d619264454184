// Rotations in e3nn's real basis, from the generators of SU(2): independent of the couplings under test.
#pragma once

#include <array>
#include <vector>

#include "ir/irreps.hpp"
#include "ir/problem.hpp"

namespace flashtp::test {

/// A rotation by |vector| radians about its direction (e3nn's x, y, z), then the inversion if asked for.
struct Motion {
    std::array<double, 3> vector{};
    bool inversion = false;
};

/// The matrix of the rotation on degree l, row-major, (2l+1) x (2l+1).
std::vector<double> rotation_matrix(int l, const std::array<double, 3>& vector);

/// Every row of a tensor [rows][irreps.dim()] moved.
std::vector<double> moved(const std::vector<double>& tensor, const Irreps&, Layout, const Motion&);

}  // namespace flashtp::test
