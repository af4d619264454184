// Compiled programs by what identifies them; compiled once a process, on first use.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "flashtp/flashtp.h"

namespace flashtp::torch_operators {

/// What is compiled, for which device. `problem` is a specification without dtype, or the name of one.
struct ProgramKey {
    std::string problem;
    std::int64_t order = 0, outputs = 0, absent = 0;
    bool float64 = false;
    int device = -1;  ///< CUDA device; -1: CPU

    bool operator==(const ProgramKey&) const = default;
};

struct CompiledProgram {
    flashtp_program* handle = nullptr;
    std::vector<flashtp_operand> inputs, outputs;  ///< in the order of the program's operands, which has inputs first
    std::int64_t width = 0;                        ///< sum of the widths of all operands
};

/// Throws std::runtime_error with the library's message. For a CUDA device the caller has made it current.
const CompiledProgram& program_for(const ProgramKey&);

/// Gives a problem a name, which starts with @, for this process: names are shorter to pass around.
void name_problem(const std::string& name, const std::string& problem);

/// A specification with its dtype.
std::string with_dtype(const std::string& problem, bool float64);

/// One a process, and never destroyed: the driver may be gone before static objects are.
flashtp_engine* engine();

/// Throws std::runtime_error with the library's message unless the status is FLASHTP_OK.
void check(flashtp_status);

}  // namespace flashtp::torch_operators
