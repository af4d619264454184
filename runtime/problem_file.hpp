// Specification files: a JSON object, or one layer a line.
#pragma once

#include <string>
#include <vector>

#include "ir/problem.hpp"

namespace flashtp {

/// Reads `FILE` (a JSON object, or one layer a line with key "tp") or `FILE:N` (line N, from 1). Throws UserError.
Problem load_problem(const std::string& spec);
/// Reads every layer of a file: one problem for a JSON object, one a line for an ir_config file.
std::vector<Problem> load_problems(const std::string& path);

}  // namespace flashtp
