#include "runtime/find_cuda.hpp"

#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <string>

#include "runtime/shared_library.hpp"

namespace fs = std::filesystem;

namespace flashtp {
namespace {

using Paths = std::vector<fs::path>;

/// A program that runs with more rights than its user does not believe the environment.
fs::path from_environment(const char* name) {
    const char* value = secure_getenv(name);
    return value && *value == '/' ? value : "";
}

bool exists_as_directory(const fs::path& path) {
    std::error_code ignored;
    return fs::is_directory(path, ignored);
}

void add(Paths& paths, const fs::path& path) {
    if (exists_as_directory(path) && std::ranges::find(paths, path) == paths.end()) paths.push_back(path);
}

/// Subdirectories whose name starts so, the last in reverse order first: python3.12 before python3.11, cuda-13.0 before cuda-12.4.
Paths children(const fs::path& directory, std::string_view prefix) {
    Paths found;
    std::error_code error;
    for (fs::directory_iterator it(directory, error), end; !error && it != end; it.increment(error))
        if (it->path().filename().string().starts_with(prefix)) found.push_back(it->path());
    std::ranges::sort(found, std::greater<>());
    return found;
}

/// Python packages unpack below `nvidia`: CUDA 13's into one directory, CUDA 12's into one a library.
void add_packages(Paths& paths, const fs::path& site) {
    add(paths, site / "nvidia" / "cu13" / "lib");
    add(paths, site / "nvidia" / "cuda_nvrtc" / "lib");
}

void add_environment(Paths& paths, const fs::path& prefix) {
    if (prefix.empty()) return;
    for (const fs::path& python : children(prefix / "lib", "python3")) {
        add_packages(paths, python / "site-packages");
        add_packages(paths, python / "dist-packages");
    }
}

/// This library may lie in a Python package, beside `nvidia`, or in a build directory whose parents hold a virtual environment.
void add_around_this_library(Paths& paths) {
    constexpr int levels = 4;
    fs::path directory = SharedLibrary::file_of(reinterpret_cast<const void*>(&cuda_toolkits)).parent_path();
    for (int n = 0; n < levels && directory.has_relative_path(); ++n, directory = directory.parent_path()) {
        add_packages(paths, directory);
        add_environment(paths, directory / "venv");
        add_environment(paths, directory / ".venv");
    }
}

}  // namespace

std::vector<fs::path> cuda_toolkits() {
    Paths paths;
    add(paths, from_environment("CUDA_HOME"));
    add(paths, from_environment("CUDA_PATH"));
    add(paths, "/usr/local/cuda");
    for (const fs::path& path : children("/usr/local", "cuda-")) add(paths, path);
    return paths;
}

std::vector<fs::path> nvrtc_directories() {
    Paths paths;
    for (const fs::path& toolkit : cuda_toolkits())
        for (const char* directory : {"lib64", "lib", "targets/x86_64-linux/lib", "targets/sbsa-linux/lib"})
            add(paths, toolkit / directory);
    for (const char* variable : {"VIRTUAL_ENV", "CONDA_PREFIX"}) {
        const fs::path prefix = from_environment(variable);
        add_environment(paths, prefix);
        if (!prefix.empty()) add(paths, prefix / "lib");
    }
    add_around_this_library(paths);
    const fs::path home = from_environment("HOME");
    if (!home.empty()) add_environment(paths, home / ".local");
    add_environment(paths, "/usr/local");
    add_environment(paths, "/usr");
    return paths;
}

fs::path find_cuda_tool(std::string_view name) {
    Paths directories;
    const char* path = secure_getenv("PATH");
    for (std::string_view rest = path ? path : ""; !rest.empty();) {
        const std::size_t end = std::min(rest.find(':'), rest.size());
        if (rest.starts_with('/')) directories.emplace_back(rest.substr(0, end));
        rest.remove_prefix(std::min(end + 1, rest.size()));
    }
    for (const fs::path& toolkit : cuda_toolkits()) directories.push_back(toolkit / "bin");
    // Packages keep programs beside their libraries.
    for (const fs::path& libraries : nvrtc_directories()) directories.push_back(libraries.parent_path() / "bin");
    for (const fs::path& directory : directories)
        if (access((directory / name).c_str(), X_OK) == 0) return directory / name;
    return {};
}

}  // namespace flashtp
