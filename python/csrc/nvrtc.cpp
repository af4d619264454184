// torch's own NVRTC, loaded so that the library finds it by name wherever torch lies.
#include "nvrtc.hpp"

#include <dlfcn.h>
#include <torch/csrc/inductor/aoti_torch/c/shim.h>

#include <filesystem>

namespace flashtp::torch_operators {

namespace fs = std::filesystem;

void load_nvrtc_of_torch() {
    Dl_info torch{};
    if (dladdr(reinterpret_cast<const void*>(&aoti_torch_device_type_cuda), &torch) == 0 || !torch.dli_fname) return;
    // site-packages/torch/lib/libtorch_cpu.so; torch's CUDA packages unpack to site-packages/nvidia.
    const fs::path packages = fs::path(torch.dli_fname).parent_path().parent_path().parent_path() / "nvidia";
    for (const char* library : {"cu13/lib/libnvrtc.so.13", "cuda_nvrtc/lib/libnvrtc.so.12"})
        if (dlopen((packages / library).c_str(), RTLD_NOW | RTLD_LOCAL)) return;
}

}  // namespace flashtp::torch_operators
