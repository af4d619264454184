// CUDA: NVRTC straight to machine code for a named architecture, and the driver to run it.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "runtime/backend.hpp"

namespace flashtp {

/// NVRTC is searched at the first identity() or compile(), the driver at the first load(). `nvrtc` names the library where it is not
/// empty; see Nvrtc::load.
std::unique_ptr<Backend> make_cuda_backend(const std::filesystem::path& nvrtc = {});

/// What the driver says of a kernel loaded into the current context.
struct CudaKernelFacts {
    int registers = 0, local_bytes = 0;
    int blocks_per_multiprocessor = 0;
};
/// Throws InternalError for a module of another backend.
CudaKernelFacts cuda_kernel_facts(const Module&);

/// PTX of generated source, for reading. Throws CompileError.
std::string compile_to_ptx(const Kernel&, const std::string& source, const std::filesystem::path& nvrtc = {});
/// Machine code as text, with nvdisasm or cuobjdump of a CUDA toolkit; throws CompileError where there is neither.
std::string disassemble_cubin(const Artifact&);

/// What ptxas says about a kernel.
struct PtxasReport {
    int registers = 0;
    std::int64_t stack_bytes = 0, spill_stores = 0, spill_loads = 0;
    std::string warnings;  ///< the log without its reports
};
PtxasReport parse_ptxas_log(const std::string& log);

}  // namespace flashtp
