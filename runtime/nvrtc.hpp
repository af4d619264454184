// NVRTC, NVIDIA's run-time compiler: found and loaded at first use, so that nothing of CUDA is needed to build or to load this
// library. It compiles for a named architecture and needs neither a device nor a driver.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

namespace flashtp {

class Nvrtc {
  public:
    /// Searches for the library: `path` where it is not empty (a file, or a directory that holds it), else FLASHTP_NVRTC, else the
    /// loader's path, CUDA toolkits, and `nvidia-cuda-nvrtc` Python packages. Throws CompileError that lists where it looked.
    static std::shared_ptr<const Nvrtc> load(const std::filesystem::path& path = {});

    int major() const { return major_; }
    int minor() const { return minor_; }
    const std::filesystem::path& file() const { return file_; }
    /// Version and what the library file says of itself (its build id, else a digest of its content).
    const std::string& identity() const { return identity_; }

    enum class Output { cubin, ptx };
    struct Result {
        std::vector<std::uint8_t> code;
        std::string log;
    };
    /// Thread-safe. Throws CompileError with the log.
    Result compile(const std::string& source, const std::string& name, const std::vector<std::string>& options, Output) const;

  private:
    using Status = int;
    struct OpaqueProgram;
    using Program = OpaqueProgram*;
    class ProgramGuard;

    Nvrtc() = default;
    void bind(const class SharedLibrary&);
    void check(Status, const char* call) const;
    std::string log_of(Program) const;

    Status (*version_)(int*, int*) = nullptr;
    const char* (*error_string_)(Status) = nullptr;
    Status (*create_program_)(Program*, const char*, const char*, int, const char* const*, const char* const*) = nullptr;
    Status (*destroy_program_)(Program*) = nullptr;
    Status (*compile_program_)(Program, int, const char* const*) = nullptr;
    Status (*log_size_)(Program, std::size_t*) = nullptr;
    Status (*log_)(Program, char*) = nullptr;
    Status (*cubin_size_)(Program, std::size_t*) = nullptr;
    Status (*cubin_)(Program, char*) = nullptr;
    Status (*ptx_size_)(Program, std::size_t*) = nullptr;
    Status (*ptx_)(Program, char*) = nullptr;

    int major_ = 0, minor_ = 0;
    std::filesystem::path file_;
    std::string identity_;
};

}  // namespace flashtp
