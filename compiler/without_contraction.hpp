// Kernels whose products and sums are rounded one by one.
#pragma once

#include "ir/kernel.hpp"

namespace flashtp {

/// The same kernel with every multiply-add as a product, which is rounded, and a sum (a multiply-add by one). Printers fuse nothing in it.
Kernel without_contraction(Kernel);

}  // namespace flashtp
