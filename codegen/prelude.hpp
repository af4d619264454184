#pragma once

#include <string_view>

namespace flashtp {

/// The text of codegen/prelude/device.cuh, embedded when the library is built. Every CUDA source starts with it.
std::string_view prelude_device();

} // namespace flashtp
