// Element types of operands and of the arithmetic done on them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace flashtp {

/// bfloat16 and float16 are for memory: what is read is widened to float32, what is written is rounded to nearest even.
enum class DType { float32, float64, bfloat16, float16 };

constexpr bool is_storage_only(DType dtype) { return dtype == DType::bfloat16 || dtype == DType::float16; }

constexpr std::size_t size_of(DType dtype) { return is_storage_only(dtype) ? 2 : dtype == DType::float32 ? 4 : 8; }

constexpr std::string_view to_string(DType dtype) {
    constexpr std::string_view names[] = {"float32", "float64", "bfloat16", "float16"};
    return names[static_cast<int>(dtype)];
}

/// Distance from 1 to the next larger value of the type, as e3nn and NumPy define eps.
constexpr double epsilon(DType dtype) {
    constexpr double values[] = {0x1p-23, 0x1p-52, 0x1p-7, 0x1p-10};
    return values[static_cast<int>(dtype)];
}

/// The bits of the nearest number of a type for storage, and the number of such bits.
std::uint16_t to_storage(float value, DType);
float from_storage(std::uint16_t bits, DType);

/// Element of an array of the type.
inline double load_element(const void* array, std::int64_t index, DType dtype) {
    if (dtype == DType::float32) return static_cast<const float*>(array)[index];
    if (dtype == DType::float64) return static_cast<const double*>(array)[index];
    return from_storage(static_cast<const std::uint16_t*>(array)[index], dtype);
}
inline void store_element(void* array, std::int64_t index, double value, DType dtype) {
    if (dtype == DType::float32)
        static_cast<float*>(array)[index] = static_cast<float>(value);
    else if (dtype == DType::float64)
        static_cast<double*>(array)[index] = value;
    else
        static_cast<std::uint16_t*>(array)[index] = to_storage(static_cast<float>(value), dtype);
}
/// The nearest number of the type.
double rounded_to(DType, double value);

}  // namespace flashtp
