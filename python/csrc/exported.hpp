// What libflashtp_torch.so offers to the libraries built for one torch version, which are installed beside it.
#pragma once

#define FLASHTP_TORCH_EXPORT __attribute__((visibility("default")))
