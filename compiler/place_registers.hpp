// Which numbers of a CPU kernel's inner loops are in registers, and which in memory of the task's own.
#pragma once

#include "ir/kernel.hpp"

namespace flashtp {

/// The same kernel with inner loops whose numbers fit the target's vector registers, so that a compiler that keeps their order has
/// nothing to spill. Sums over rows that do not fit are kept in the task's memory and added to there; of the other numbers the one
/// whose next use is furthest away leaves its register. Loops with branches stay as they are. For CPUs.
Kernel place_registers(Kernel);

}  // namespace flashtp
