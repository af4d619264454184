// Whether a schedule that comes from outside the compiler computes a program.
#pragma once

#include "ir/edge_program.hpp"
#include "ir/schedule.hpp"
#include "ir/target.hpp"

namespace flashtp {

/// Every path of the program must be in tasks whose channels make up its lane axis, each channel in one of them. Throws UserError that
/// names the task or the path and the rule.
void check_schedule(const Schedule&, const EdgeProgram&, Platform);

}  // namespace flashtp
