// What problem_json.cpp shares with the reader of specification files.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "ir/problem.hpp"

namespace flashtp {

/// A specification object, or an ir_config layer: an object with the key "tp", whose other keys are ignored.
Problem parse_problem_or_layer(std::string_view json, const std::string& default_name);

/// The keys of a specification, in canonical order.
std::vector<std::string_view> problem_keys();

}  // namespace flashtp
