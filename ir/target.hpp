// What code is generated for. One row a CUDA architecture; the CPU is described by its explicit ISA features.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace flashtp {

enum class Platform { cuda, cpu };

/// How an asynchronous copy into shared memory completes.
enum class CopyMechanism {
    barrier,  ///< bulk copies and cp.async on an mbarrier a stage (SM90 and newer)
    groups,   ///< cp.async groups (SM80 and newer)
    plain     ///< loads and stores, synchronous: the documented last resort
};

struct Target {
    Platform platform = Platform::cpu;
    std::string name;               ///< "sm_90a", "cpu", "cpu:x86-64-v3"
    std::string device;             ///< "NVIDIA H200" where it is one of this machine; decides about no code
    // CUDA
    int compute_capability = 0;     ///< 90 for sm_90a
    CopyMechanism copy = CopyMechanism::plain;
    int lanes = 1;                  ///< 32 on CUDA; on a CPU the SIMD width for float32
    std::int64_t shared_bytes_per_block = 0, shared_bytes_per_multiprocessor = 0;
    int registers_per_lane = 0;     ///< architectural vector registers on a CPU, 255 on CUDA
    // CPU
    std::string triple, cpu;
    std::vector<std::string> features;  ///< sorted, "+avx2"
    int vector_bits = 0;
    friend bool operator==(const Target&, const Target&) = default;
};

/// The row of a CUDA architecture ("sm_80", "sm_86", "sm_89", "sm_90", "sm_90a", "sm_100", "sm_120"); throws UserError that
/// lists the known ones.
Target cuda_target(std::string_view name);
/// x86-64-v2, x86-64-v3, x86-64-v4, aarch64+neon by name; throws UserError. The host's own is found by the LLVM backend.
Target cpu_target(std::string_view name);
/// Names accepted by the two functions above.
std::vector<std::string> known_targets();
/// Lanes a register of the type has on this target.
int lanes_of(const Target&, std::size_t element_bytes);

}  // namespace flashtp
