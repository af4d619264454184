// LLVM IR text to machine code for any processor of the families built in.
#pragma once

#include <string>
#include <string_view>

namespace flashtp::llvm_plugin {

struct Source {
    std::string_view text;
    std::string triple, cpu, features;
    bool assembly = false;
};

struct Compiled {
    std::string code;  ///< a relocatable object, or assembly text
    std::string log;
};

/// Throws std::runtime_error with LLVM's message. Thread-safe; deterministic.
Compiled compile_module(const Source&);

}  // namespace flashtp::llvm_plugin
