// What the operators need of tensors and devices, on torch's stable ABI.
#pragma once

#include <torch/csrc/stable/tensor.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace flashtp::torch_operators {

using torch::stable::Tensor;

/// Number of rows; 0 for a scalar.
std::int64_t leading(const Tensor&);
std::string shape_text(const Tensor&);
std::string dtype_text(const Tensor&);
std::string device_text(const Tensor&);
bool same_device(const Tensor&, const Tensor&);
/// Throws std::invalid_argument for a dtype other than float32 and float64.
bool is_float64(const Tensor&);

/// The tensor itself, or a copy of it that is contiguous and, on a GPU, aligned as kernels want it.
Tensor dense(const Tensor&);
/// Uninitialised.
Tensor empty_like_type(const Tensor&, const std::vector<std::int64_t>& shape);
Tensor empty_of(const Tensor& device_of, torch::headeronly::ScalarType, const std::vector<std::int64_t>& shape);

/// Makes the device of a tensor current while it lives. Throws std::invalid_argument for a device that has no kernels.
class OnDevice {
  public:
    explicit OnDevice(const Tensor&);
    /// Of a CUDA device; -1 for the CPU.
    int index() const { return index_; }
    /// The CUstream that torch uses on this device.
    void* stream() const;

  private:
    int index_ = -1;
    std::optional<torch::stable::accelerator::DeviceGuard> guard_;
};

}  // namespace flashtp::torch_operators
