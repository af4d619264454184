// Where CUDA's libraries and tools may be on this machine. Nothing here depends on a device.
#pragma once

#include <filesystem>
#include <string_view>
#include <vector>

namespace flashtp {

/// CUDA_HOME, CUDA_PATH, then /usr/local/cuda and /usr/local/cuda-*, newest first; those that exist.
std::vector<std::filesystem::path> cuda_toolkits();

/// Directories that may hold libnvrtc, in the order of preference: of toolkits, then of `nvidia-cuda-nvrtc` packages in the active
/// Python environment, around this library, and in the user's and the system's Python. Only those that exist.
std::vector<std::filesystem::path> nvrtc_directories();

/// The program in PATH, in a toolkit or in a Python package; empty where there is none.
std::filesystem::path find_cuda_tool(std::string_view name);

}  // namespace flashtp
