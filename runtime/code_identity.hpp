// Which compiler this is: what a program of the cache must have been made by to be used without lowering it again.
#pragma once

#include <string>

namespace flashtp {

/// Of all sources that decide about generated code and launches (ir, compiler, codegen, runtime), taken when they are built: the
/// same for the library and the tools of one source tree on every machine, and another after any change to it.
const char* source_digest();

/// The digest, and what else a build depends on: its C++ compiler and the library that formats numbers.
std::string code_identity();

}  // namespace flashtp
