// NVRTC as torch brings it along.
#pragma once

namespace flashtp::torch_operators {

/// Loads the NVRTC that torch was installed with, if there is one. Without it libflashtp searches on its own (docs/environment.md).
void load_nvrtc_of_torch();

}  // namespace flashtp::torch_operators
