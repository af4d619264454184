#include "runtime/code_identity.hpp"

#include <fmt/format.h>

namespace flashtp {

std::string code_identity() { return fmt::format("sources sha256:{}, built by {}, fmt {}", source_digest(), __VERSION__, FMT_VERSION); }

}  // namespace flashtp
