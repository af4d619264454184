// Problems whose paths are known beforehand: all degrees up to a bound in one mode, and layers of real models.
#pragma once

#include <string>

#include "ir/problem.hpp"

namespace flashtp::test {

/// All (l1, l2, l3) up to `max_l` in one mode, with multiplicities of 2 and 3, output segments that several paths share, and
/// path weights that differ. The caller sets normalisation, rows and layouts.
Problem every_triple(ConnectionMode, bool weighted, int max_l);

/// A convolution of weighted uvu paths, one for every pair of input segments and output irrep up to degree 3, each with an output
/// segment of its own. `natural_only` leaves out outputs whose parity is not (-1)^l.
Problem uvu_layer(const std::string& irreps_in1, const std::string& irreps_in2, bool natural_only = false);

Problem sevennet_l3i5_layer();
Problem nequip_l3_layer();
Problem mace_large_layer();

}  // namespace flashtp::test
