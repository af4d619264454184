// Kernels built by hand, so that printers are tested without scheduling or lowering.
#pragma once

#include <optional>
#include <string_view>

#include "ir/kernel.hpp"

namespace flashtp::test {

/// z[e] = 0.25 x[e] y[e, 0] + y[e, 1] for 5 channels and a row of two numbers; 4 lanes on a CPU, 32 on CUDA.
Kernel scaled_rows(std::string_view target);

/// Every construct there is, in one receiver-stationary kernel, with the copy mechanism of the CUDA target; 32 lanes. For edge e from
/// s to r, lane c, t = w[e,c] x[s,c]:
///   out[r,c] = sum t (y[e,0] + 1)       total[r] = sum over e, c of 2 t      count[r] = number of edges
///   grad_w[e,c] = x[s,c] y[e,1]         grad_y[e,k] = sum over c of t for k = 0, 1 and of w[e,c] for k = 2
///   grad_x[s,c] += w[e,c] y[e,2]        permuted[r,31-c] = out[r,c]          last[r] = t of lane 16, channels c < 17 only
/// `copy` replaces the target's mechanism.
Kernel every_construct(std::string_view target, DType dtype, std::optional<CopyMechanism> copy = {});

}  // namespace flashtp::test
