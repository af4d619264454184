// How much a kernel's tasks have to do an edge, relative to each other: for sharing out a device's warps.
#pragma once

#include <cstdint>
#include <vector>

#include "ir/kernel.hpp"

namespace flashtp {

/// By task and chunk in their order: the effort of all before, of 2^32 for all together.
std::vector<std::uint32_t> efforts_before(const Kernel&);

}  // namespace flashtp
