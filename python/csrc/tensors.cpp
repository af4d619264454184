#include "tensors.hpp"

#include <dlfcn.h>
#include <torch/csrc/stable/device.h>
#include <torch/csrc/stable/ops.h>

#include <cstdint>
#include <stdexcept>

namespace flashtp::torch_operators {
namespace {

using torch::headeronly::ScalarType;

/// What flashtp_launch_cuda asks for.
constexpr std::uintptr_t device_alignment = 16;

using CurrentStream = AOTITorchError(std::int32_t device, void** stream);

/// torch's own function. It is in the CUDA part of torch, which this library is not linked to: it must load where there is none.
CurrentStream* find_current_stream() {
    void* const cuda = dlopen("libtorch_cuda.so", RTLD_NOW | RTLD_NOLOAD);
    void* const found = dlsym(cuda ? cuda : RTLD_DEFAULT, "aoti_torch_get_current_cuda_stream");
    if (!found) throw std::runtime_error("flashtp: this torch has no aoti_torch_get_current_cuda_stream");
    return reinterpret_cast<CurrentStream*>(found);
}

}  // namespace

std::int64_t leading(const Tensor& tensor) { return tensor.dim() == 0 ? 0 : tensor.size(0); }

std::string shape_text(const Tensor& tensor) {
    std::string text = "[";
    for (std::int64_t i = 0; i < tensor.dim(); ++i) text += (i ? ", " : "") + std::to_string(tensor.size(i));
    return text + "]";
}

std::string dtype_text(const Tensor& tensor) { return torch::headeronly::toString(tensor.scalar_type()); }

std::string device_text(const Tensor& tensor) {
    if (tensor.is_cpu()) return "the CPU";
    return (tensor.is_cuda() ? "CUDA device " : "another device, of index ") + std::to_string(tensor.get_device_index());
}

bool same_device(const Tensor& a, const Tensor& b) {
    return a.is_cpu() == b.is_cpu() && a.is_cuda() == b.is_cuda() && (a.is_cpu() || a.get_device_index() == b.get_device_index());
}

bool is_float64(const Tensor& tensor) {
    if (tensor.scalar_type() == ScalarType::Double) return true;
    if (tensor.scalar_type() == ScalarType::Float) return false;
    throw std::invalid_argument("flashtp: x is " + dtype_text(tensor) + "; operands must be float32 or float64");
}

Tensor dense(const Tensor& tensor) {
    Tensor result = tensor.is_contiguous() ? tensor : torch::stable::contiguous(tensor);
    const bool aligned = reinterpret_cast<std::uintptr_t>(result.data_ptr()) % device_alignment == 0;
    return aligned || result.is_cpu() ? result : torch::stable::clone(result);
}

Tensor empty_of(const Tensor& device_of, ScalarType type, const std::vector<std::int64_t>& shape) {
    std::vector<std::int64_t> strides(shape.size(), 1);
    for (std::size_t i = shape.size(); i-- > 1;) strides[i - 1] = strides[i] * shape[i];
    std::int32_t device = 0;
    STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_get_device_type(device_of.get(), &device));
    AtenTensorHandle made = nullptr;
    STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_empty_strided(
        static_cast<std::int64_t>(shape.size()), shape.data(), strides.data(),
        torch::stable::detail::to<std::int32_t>(torch::stable::detail::from(type)), device, device_of.get_device_index(), &made));
    return Tensor(made);
}

Tensor empty_like_type(const Tensor& tensor, const std::vector<std::int64_t>& shape) {
    return empty_of(tensor, tensor.scalar_type(), shape);
}

OnDevice::OnDevice(const Tensor& tensor) {
    if (tensor.is_cpu()) return;
    if (!tensor.is_cuda())
        throw std::invalid_argument("flashtp: x is on " + device_text(tensor) + "; kernels run on CPUs and CUDA devices");
    index_ = tensor.get_device_index();
    guard_.emplace(index_);
}

void* OnDevice::stream() const {
    static CurrentStream* const current_stream = find_current_stream();
    void* stream = nullptr;
    STABLE_TORCH_ERROR_CODE_CHECK(current_stream(index_, &stream));
    return stream;
}

}  // namespace flashtp::torch_operators
