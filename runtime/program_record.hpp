// What the cache keeps of a compiled request besides its kernels: found by what was asked, before anything is lowered.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "compiler/pipeline.hpp"
#include "runtime/cache/key.hpp"
#include "runtime/launch_plan.hpp"

namespace flashtp {

/// How to launch a program, and the keys under which its kernels lie. The kernels stay entries of their own: programs share them, and
/// a library that generates the same source finds them whatever its own identity is.
struct ProgramRecord {
    LaunchPlan plan;
    std::vector<std::string> kernels;  ///< texts of their keys, in the order of the plan's
    friend bool operator==(const ProgramRecord&, const ProgramRecord&) = default;
};
std::string to_text(const ProgramRecord&);
/// Throws UserError for anything that to_text does not write.
ProgramRecord parse_program_record(std::string_view text);

/// The problem without its name, and the request.
void add_request(Key&, const Problem&, const Request&);

/// Everything that decides what `lower` returns and what its kernels are compiled to: the request, the target, the schedule's options,
/// the toolchain and code_identity() of the library that lowers. Names of problems are no part of it.
Key program_key(const Problem&, const Request&, const Target&, const LoweringOptions&, std::string_view toolchain);

}  // namespace flashtp
