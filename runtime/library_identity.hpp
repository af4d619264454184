// What tells two builds of a shared library apart: never a path or a time, which differ between machines with the same library.
#pragma once

#include <filesystem>
#include <string>

namespace flashtp {

/// `build-id:HEX` where the linker left one, else `sha256:HEX` of the content. Throws CompileError when the file cannot be read.
std::string library_identity(const std::filesystem::path&);

}  // namespace flashtp
