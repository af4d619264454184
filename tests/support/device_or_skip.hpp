#pragma once

namespace flashtp::test {

/// Whether a CUDA device is there. Without one, says so on standard output, which `tools/test` lists.
bool device_or_skip();

}  // namespace flashtp::test
