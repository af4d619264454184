// What the processor at hand is, and what this library is.
#pragma once

#include <string>

namespace flashtp::llvm_plugin {

struct Host {
    std::string triple, cpu, features;
    int vector_bits = 128, vector_registers = 16;
};

Host detect_host();

/// LLVM's version and the build id of this library. Code made under one identity is the same on every machine.
const std::string& build_identity();

}  // namespace flashtp::llvm_plugin
