// Compiled programs by what identifies them; compiled once a process, on first use.
#pragma once

#include <cstdint>
#include <vector>

#include "flashtp/flashtp.h"
#include "compiler/size_class.hpp"
#include "problems.hpp"

namespace flashtp::torch_operators {

/// What is asked of the C API, but for dtype and device: see names.hpp for the masks.
struct Request {
    std::int64_t problem = 0;  ///< see problems.hpp
    std::int64_t order = 0, outputs = 0, absent = 0;

    bool operator==(const Request&) const = default;
};

/// What is compiled, for which device.
struct ProgramKey {
    Request request;
    std::size_t sources = 0;  ///< of the problem: they decide what the request's masks mean
    Types types;
    int device = -1;  ///< CUDA device; -1: CPU
    SizeClass size = SizeClass::large;

    bool operator==(const ProgramKey&) const = default;
};

struct CompiledProgram {
    flashtp_program* handle = nullptr;
    std::vector<flashtp_operand> inputs, outputs;  ///< in the order of the program's operands, which has inputs first
    std::int64_t width = 0;                        ///< sum of the widths of all operands
};

/// Throws std::runtime_error with the library's message. For a CUDA device the caller has made it current. `edges`: of the class of
/// sizes of the key.
const CompiledProgram& program_for(const ProgramKey&, std::int64_t edges);

/// One a process, and never destroyed: the driver may be gone before static objects are.
flashtp_engine* engine();

/// Throws std::runtime_error with the library's message unless the status is FLASHTP_OK.
void check(flashtp_status);

}  // namespace flashtp::torch_operators
