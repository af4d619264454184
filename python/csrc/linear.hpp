// Equivariant linear layers on torch's own C++ tensors, with derivatives of any order. Built for one torch version.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "exported.hpp"

namespace flashtp::torch_operators {

/// Mixes the channels of one segment of features: each component by the same matrix [inputs, outputs].
struct LinearPath {
    std::int64_t in_offset, out_offset, weight_offset, inputs, outputs, components;
    double scale;

    bool operator==(const LinearPath&) const = default;
};

struct LinearLayout {
    std::int64_t in_width, out_width, weight_count;
    std::vector<LinearPath> paths;

    bool operator==(const LinearLayout&) const = default;
};

/// The number of a layout in this process. The same layout always has the same number. Throws std::invalid_argument where a path
/// leaves the arrays.
std::int64_t layout_number(const LinearLayout&);

/// [rows, out_width] of features [rows, in_width] and weights [weight_count]; columns that no path goes to are zero.
FLASHTP_TORCH_EXPORT at::Tensor linear(const at::Tensor& features, const at::Tensor& weights, std::int64_t layout);

}  // namespace flashtp::torch_operators
