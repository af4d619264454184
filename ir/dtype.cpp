#include "ir/dtype.hpp"

#include <bit>
#include <cmath>

namespace flashtp {
namespace {

/// The upper bits of a float32, rounded to nearest even.
std::uint32_t without_low_bits(std::uint32_t bits, int count) {
    const std::uint32_t half = (1u << (count - 1)) - 1, odd = (bits >> count) & 1;
    return (bits + half + odd) >> count;
}

std::uint16_t to_bfloat16(float value) {
    const auto bits = std::bit_cast<std::uint32_t>(value);
    if (std::isnan(value)) return static_cast<std::uint16_t>(bits >> 16 | 0x40);
    return static_cast<std::uint16_t>(without_low_bits(bits, 16));
}

float from_bfloat16(std::uint16_t bits) { return std::bit_cast<float>(std::uint32_t{bits} << 16); }

constexpr std::uint32_t half_infinity = 0x7c00, half_bias_difference = 127 - 15;

std::uint16_t to_float16(float value) {
    constexpr float least_overflow = 65520, least_normal = 0x1p-14f;
    const std::uint32_t bits = std::bit_cast<std::uint32_t>(value), sign = bits >> 16 & 0x8000;
    const float magnitude = std::fabs(value);
    std::uint32_t result = without_low_bits(bits & 0x7fffffff, 13) - (half_bias_difference << 10);
    if (magnitude < least_normal) result = static_cast<std::uint32_t>(std::lrint(magnitude * 0x1p24f));
    if (magnitude >= least_overflow) result = half_infinity;
    if (std::isnan(value)) result = half_infinity | 0x200;
    return static_cast<std::uint16_t>(sign | result);
}

float from_float16(std::uint16_t bits) {
    const std::uint32_t exponent = bits >> 10 & 31, mantissa = bits & 1023;
    float magnitude = std::bit_cast<float>((exponent + half_bias_difference) << 23 | mantissa << 13);
    if (exponent == 0) magnitude = static_cast<float>(mantissa) * 0x1p-24f;
    if (exponent == 31) magnitude = std::bit_cast<float>(0x7f800000u | mantissa << 13);
    return bits & 0x8000 ? -magnitude : magnitude;
}

}  // namespace

std::uint16_t to_storage(float value, DType dtype) { return dtype == DType::bfloat16 ? to_bfloat16(value) : to_float16(value); }

float from_storage(std::uint16_t bits, DType dtype) { return dtype == DType::bfloat16 ? from_bfloat16(bits) : from_float16(bits); }

double rounded_to(DType dtype, double value) {
    if (dtype == DType::float64) return value;
    const auto single = static_cast<float>(value);
    return is_storage_only(dtype) ? from_storage(to_storage(single, dtype), dtype) : single;
}

}  // namespace flashtp
