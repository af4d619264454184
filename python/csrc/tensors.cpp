#include "tensors.hpp"

#include <dlfcn.h>
#include <sys/mman.h>
#include <torch/csrc/stable/device.h>
#include <torch/csrc/stable/ops.h>

#include <unistd.h>

#include <array>
#include <stdexcept>

namespace flashtp::torch_operators {
namespace {

/// What flashtp_launch_cuda asks for.
constexpr std::uintptr_t device_alignment = 16;

using CurrentStream = AOTITorchError(std::int32_t device, void** stream);
using IsCapturing = int(void* stream, int* status);

/// A function of a library that is in the process where CUDA is used. This library is not linked to it: it must load where there is
/// none.
template <class Function>
Function* find(const char* library, const char* name) {
    void* const loaded = dlopen(library, RTLD_NOW | RTLD_NOLOAD);
    void* const found = dlsym(loaded ? loaded : RTLD_DEFAULT, name);
    if (!found) throw std::runtime_error(std::string("flashtp: there is no ") + name + " in " + library);
    return reinterpret_cast<Function*>(found);
}

std::int32_t number_of(ScalarType type) { return torch::stable::detail::to<std::int32_t>(torch::stable::detail::from(type)); }

/// An owner of the same tensor.
Tensor owned(TensorView view) {
    AtenTensorHandle made = nullptr;
    STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_new_tensor_handle(view.handle(), &made));
    return Tensor(made);
}

}  // namespace

std::string Device::text() const {
    if (is_cpu()) return "the CPU";
    return (is_cuda() ? "CUDA device " : "another device, of index ") + std::to_string(index);
}

std::span<const std::int64_t> TensorView::shape() const {
    std::int64_t count = 0, *sizes = nullptr;
    STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_get_dim(handle_, &count));
    STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_get_sizes(handle_, &sizes));
    return {sizes, static_cast<std::size_t>(count)};
}

std::int64_t TensorView::rows() const {
    const auto sizes = shape();
    return sizes.empty() ? 0 : sizes[0];
}

ScalarType TensorView::dtype() const {
    std::int32_t type = 0;
    STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_get_dtype(handle_, &type));
    return torch::stable::detail::to<ScalarType>(torch::stable::detail::from(type));
}

Device TensorView::device() const {
    Device device;
    STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_get_device_type(handle_, &device.type));
    if (!device.is_cpu()) STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_get_device_index(handle_, &device.index));
    return device;
}

bool TensorView::is_contiguous() const {
    bool contiguous = false;
    STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_is_contiguous(handle_, &contiguous));
    return contiguous;
}

void* TensorView::data() const {
    void* data = nullptr;
    STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_get_data_ptr(handle_, &data));
    return data;
}

std::string TensorView::shape_text() const {
    std::string text;
    for (const std::int64_t size : shape()) text += (text.empty() ? "" : ", ") + std::to_string(size);
    return "[" + text + "]";
}

std::string TensorView::dtype_text() const { return torch::headeronly::toString(dtype()); }

void* dense_data(TensorView tensor, std::vector<Tensor>& copies) {
    const bool contiguous = tensor.is_contiguous();
    void* const data = contiguous ? tensor.data() : nullptr;
    const bool aligned = reinterpret_cast<std::uintptr_t>(data) % device_alignment == 0;
    if (contiguous && (aligned || tensor.device().is_cpu())) return data;
    // What contiguous() allocates anew is aligned.
    copies.push_back(contiguous ? torch::stable::clone(owned(tensor)) : torch::stable::contiguous(owned(tensor)));
    return copies.back().data_ptr();
}

Tensor empty(Device device, ScalarType type, std::initializer_list<std::int64_t> shape) {
    const std::array<std::int64_t, 2> strides = {shape.size() == 2 ? shape.begin()[1] : 1, 1};
    AtenTensorHandle made = nullptr;
    STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_empty_strided(static_cast<std::int64_t>(shape.size()), shape.begin(), strides.data(),
                                                           number_of(type), device.type, device.index, &made));
    Tensor tensor(made);
    if (device.is_cpu()) prefer_large_pages(tensor.data_ptr(), static_cast<std::size_t>(tensor.numel()) * tensor.element_size());
    return tensor;
}

void prefer_large_pages(void* data, std::size_t bytes) {
    // glibc returns larger blocks to the system when they are freed, so that every new one is of pages not there yet.
    constexpr std::size_t kept_by_malloc = std::size_t{32} << 20;
    if (bytes < kept_by_malloc) return;
    const auto page = static_cast<std::uintptr_t>(sysconf(_SC_PAGESIZE)), begin = reinterpret_cast<std::uintptr_t>(data);
    const std::uintptr_t first = (begin + page - 1) / page * page;
    // Where the system has no large pages this fails, and nothing is lost.
    madvise(reinterpret_cast<void*>(first), (begin + bytes - first) / page * page, MADV_HUGEPAGE);
}

Tensor converted(TensorView tensor, ScalarType type) {
    Tensor result = empty(tensor.device(), type, {tensor.shape()[0], tensor.shape()[1]});
    return torch::stable::copy_(result, owned(tensor));
}

OnDevice::OnDevice(Device device) {
    if (device.is_cpu()) return;
    if (!device.is_cuda())
        throw std::invalid_argument("flashtp: x is on " + device.text() + "; kernels run on CPUs and CUDA devices");
    index_ = device.index;
    guard_.emplace(index_);
}

void* current_stream(int device) {
    static auto* const torchs = find<CurrentStream>("libtorch_cuda.so", "aoti_torch_get_current_cuda_stream");
    void* stream = nullptr;
    STABLE_TORCH_ERROR_CODE_CHECK(torchs(device, &stream));
    return stream;
}

bool is_capturing(void* stream) {
    static auto* const drivers = find<IsCapturing>("libcuda.so.1", "cuStreamIsCapturing");
    int status = 0;
    return drivers(stream, &status) != 0 || status != 0;
}

}  // namespace flashtp::torch_operators
