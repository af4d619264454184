#include "runtime/shared_library.hpp"

#include <dlfcn.h>

namespace flashtp {

std::optional<SharedLibrary> SharedLibrary::open(const std::string& name_or_path, std::string& error) {
    if (void* handle = dlopen(name_or_path.c_str(), RTLD_NOW | RTLD_LOCAL)) return SharedLibrary(handle);
    const char* reason = dlerror();
    error = reason ? reason : "unknown error";
    return {};
}

void* SharedLibrary::symbol(const char* name) const { return dlsym(handle_, name); }

std::filesystem::path SharedLibrary::file_of(const void* function) {
    Dl_info info{};
    if (dladdr(function, &info) == 0 || !info.dli_fname) return {};
    std::error_code ignored;
    const std::filesystem::path real = std::filesystem::canonical(info.dli_fname, ignored);
    if (!real.empty()) return real;
    // The main program is named as it was called, which is no path when the shell found it: the kernel knows.
    const std::filesystem::path program = std::filesystem::canonical("/proc/self/exe", ignored);
    return program.empty() ? info.dli_fname : program;
}

}  // namespace flashtp
