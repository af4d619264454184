// What was decided for a request, and what it costs: for people and as JSON.
#pragma once

#include <nlohmann/json.hpp>

#include "runtime/program.hpp"

namespace flashtp {

/// `compiled` is empty or has the kernels of `lowered` in its order; then registers and code size are the real ones.
/// `tuned` is LoweringOptions::tuned.
nlohmann::ordered_json explanation(const Problem&, const Request&, const Target&, const Lowered&,
                                   const std::vector<CompiledKernel>& compiled, const std::string& tuned);
/// The same as indented text.
std::string explanation_text(const nlohmann::ordered_json& explanation);

/// Warps of a kernel that a multiprocessor holds at once, from registers a lane and shared memory a block.
struct Occupancy {
    int blocks = 0, warps = 0, most_warps = 0;
    std::string limited_by;  ///< "registers", "shared memory" or "warps"
};
Occupancy occupancy_of(const Kernel&, int registers);

}  // namespace flashtp
