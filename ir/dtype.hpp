// Element types of operands and of the arithmetic done on them.
#pragma once

#include <cstddef>
#include <string_view>

namespace flashtp {

enum class DType { float32, float64 };

constexpr std::size_t size_of(DType dtype) { return dtype == DType::float32 ? 4 : 8; }
constexpr std::string_view to_string(DType dtype) { return dtype == DType::float32 ? "float32" : "float64"; }

/// Distance from 1 to the next larger value of the type, as e3nn and NumPy define eps.
constexpr double epsilon(DType dtype) { return dtype == DType::float32 ? 1.1920928955078125e-07 : 2.220446049250313e-16; }

}  // namespace flashtp
