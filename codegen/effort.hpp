// How much a kernel's tasks have to do an edge, relative to each other: for sharing out a device's warps.
#pragma once

#include <cstdint>
#include <vector>

#include "ir/kernel.hpp"

namespace flashtp {

/// By task and chunk in their order: the efforts of all before, and at the end of all together. None is zero.
std::vector<std::int32_t> efforts_before(const Kernel&);

}  // namespace flashtp
