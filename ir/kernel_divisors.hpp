// What every value of an integer is a multiple of: the alignment rules of asynchronous copies rest on it.
#pragma once

#include <cstdint>
#include <vector>

#include "ir/kernel.hpp"

namespace flashtp {

/// Per integer of the task, a number that divides all values it takes; 0 where it is always 0 or never assigned.
std::vector<std::int64_t> int_divisors(const KernelTask&);

/// Divides every value of the sum; 0 when it is always 0.
std::int64_t divisor_of(const Affine&, const std::vector<std::int64_t>& int_divisors);

}  // namespace flashtp
