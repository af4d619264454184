// The CPU back end: LLVM IR compiled and linked by the plug-in library libflashtp_llvm.so.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "runtime/backend.hpp"

namespace flashtp {

/// Compiles for any target of cpu_target() and for the host; loads what was made for the host. The plug-in is loaded by the first
/// call that needs it; where it is missing or broken, that call throws CompileError, which says where it was looked for.
std::unique_ptr<Backend> make_llvm_backend();

/// The processor at hand, named "cpu". Throws CompileError like the above.
Target host_cpu_target();
/// What code for a CPU target may use and this processor lacks. Such code would end the process.
std::vector<std::string> missing_features(const Target&);

/// Assembly text of a kernel's source, for people.
std::string llvm_assembly(const Kernel&, const std::string& source);

}  // namespace flashtp
