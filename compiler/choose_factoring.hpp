// Which intermediate values a program has where the caller does not say.
#pragma once

#include "compiler/factor.hpp"
#include "ir/dtype.hpp"
#include "ir/path_program.hpp"
#include "ir/request.hpp"
#include "ir/target.hpp"

namespace flashtp {

/// Linear forms in y that a kernel in front makes, on CPUs where that leaves few enough operations; else merged products.
Factoring choose_factoring(const PathProgram&, DType compute, const Request&, const Target&);

}  // namespace flashtp
