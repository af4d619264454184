// The text of a kernel and of its parts, for messages.
#pragma once

#include <string>

#include "ir/kernel.hpp"

namespace flashtp {

/// One statement of the task on one line; of For and If only the head.
std::string statement_text(const Kernel&, const KernelTask&, const KernelStatement&);

/// The kernel with an arrow at the statement (or at nothing, when null), cut to its surroundings when the kernel is long.
std::string excerpt(const Kernel&, const KernelTask&, const KernelStatement* marked);

std::string_view to_string(BufferKind);
std::string_view to_string(StoreMode);
std::string_view to_string(CopyMechanism);

}  // namespace flashtp
