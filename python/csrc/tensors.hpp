// What the operators need of tensors and devices, on torch's stable ABI.
#pragma once

#include <torch/csrc/stable/accelerator.h>
#include <torch/csrc/stable/tensor.h>

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "exported.hpp"

#ifndef STABLE_TORCH_ERROR_CODE_CHECK  // its name until torch 2.10
#define STABLE_TORCH_ERROR_CODE_CHECK(call) TORCH_ERROR_CODE_CHECK(call)
#endif

namespace flashtp::torch_operators {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

/// Of a tensor: what kind of device, and which of them (-1 for the CPU).
struct Device {
    std::int32_t type = 0, index = -1;

    bool operator==(const Device&) const = default;
    bool is_cpu() const { return type == aoti_torch_device_type_cpu(); }
    bool is_cuda() const { return type == aoti_torch_device_type_cuda(); }
    std::string text() const;
};

/// A tensor that the caller keeps alive. Unlike torch::stable::Tensor it takes no memory of its own.
class TensorView {
  public:
    TensorView(const Tensor& tensor) : handle_(tensor.get()) {}
    explicit TensorView(AtenTensorHandle handle) : handle_(handle) {}

    AtenTensorHandle handle() const { return handle_; }
    std::span<const std::int64_t> shape() const;
    /// Number of rows; 0 for a scalar.
    std::int64_t rows() const;
    ScalarType dtype() const;
    Device device() const;
    bool is_contiguous() const;
    void* data() const;

    std::string shape_text() const;
    std::string dtype_text() const;

  private:
    AtenTensorHandle handle_;
};

/// A copy of the tensor of another type.
Tensor converted(TensorView, ScalarType);

/// The tensor's memory; or that of a copy, put into `copies`, which is contiguous and, on a GPU, aligned as kernels want it.
void* dense_data(TensorView, std::vector<Tensor>& copies);

/// For memory of a CPU that nobody has written to: a first write every 4 KiB waits for the system, in a kernel that fills an array longer
/// than the kernel itself; pages of 2 MiB take a quarter of that (docs/performance.md).
FLASHTP_TORCH_EXPORT void prefer_large_pages(void* data, std::size_t bytes);

/// Uninitialised, with one or two dimensions.
Tensor empty(Device, ScalarType, std::initializer_list<std::int64_t> shape);

/// torch's current stream of a CUDA device, a CUstream.
FLASHTP_TORCH_EXPORT void* current_stream(int device);
/// Whether a stream is captured into a CUDA graph, or it cannot be told.
FLASHTP_TORCH_EXPORT bool is_capturing(void* stream);

/// Makes a device current while it lives. Throws std::invalid_argument for a device that has no kernels.
class OnDevice {
  public:
    explicit OnDevice(Device);
    /// Of a CUDA device; -1 for the CPU.
    int index() const { return index_; }

  private:
    int index_ = -1;
    std::optional<torch::stable::accelerator::DeviceGuard> guard_;
};

}  // namespace flashtp::torch_operators
