#include "ir/target.hpp"

#include <algorithm>
#include <array>
#include <span>

#include "ir/error.hpp"
#include "ir/nearest.hpp"

namespace flashtp {
namespace {

struct CudaRow {
    std::string_view name;
    int compute_capability;
    CopyMechanism copy;
    int shared_kib_per_block, shared_kib_per_multiprocessor;
};
/// CUDA C++ Programming Guide, table "Technical Specifications per Compute Capability". A block may use all shared memory of a
/// multiprocessor but 1 KiB, which the system keeps for every resident block.
constexpr std::array<CudaRow, 7> cuda_rows = {{{"sm_80", 80, CopyMechanism::groups, 163, 164},
                                               {"sm_86", 86, CopyMechanism::groups, 99, 100},
                                               {"sm_89", 89, CopyMechanism::groups, 99, 100},
                                               {"sm_90", 90, CopyMechanism::barrier, 227, 228},
                                               {"sm_90a", 90, CopyMechanism::barrier, 227, 228},
                                               {"sm_100", 100, CopyMechanism::barrier, 227, 228},
                                               {"sm_120", 120, CopyMechanism::barrier, 99, 100}}};

struct CpuRow {
    std::string_view name, triple, cpu;
    int vector_bits, registers;
    std::span<const std::string_view> features;
};
// The psABI's levels, spelled out so that a target reads without LLVM's tables at hand.
constexpr std::array<std::string_view, 3> level_2 = {"+popcnt", "+sse4.2", "+ssse3"};
constexpr std::array<std::string_view, 6> level_3 = {"+avx2", "+bmi2", "+f16c", "+fma", "+popcnt", "+sse4.2"};
constexpr std::array<std::string_view, 11> level_4 = {"+avx2", "+avx512bw", "+avx512cd", "+avx512dq", "+avx512f", "+avx512vl",
                                                      "+bmi2", "+f16c",     "+fma",      "+popcnt",   "+sse4.2"};
constexpr std::array<std::string_view, 2> neon = {"+fp-armv8", "+neon"};

constexpr std::array<CpuRow, 4> cpu_rows = {{{"x86-64-v2", "x86_64-unknown-linux-gnu", "x86-64-v2", 128, 16, level_2},
                                             {"x86-64-v3", "x86_64-unknown-linux-gnu", "x86-64-v3", 256, 16, level_3},
                                             {"x86-64-v4", "x86_64-unknown-linux-gnu", "x86-64-v4", 512, 32, level_4},
                                             {"aarch64+neon", "aarch64-unknown-linux-gnu", "generic", 128, 32, neon}}};

constexpr std::string_view cpu_prefix = "cpu:";

[[noreturn]] void unknown(std::string_view name) {
    const std::vector<std::string> names = known_targets();
    const std::vector<std::string_view> known(names.begin(), names.end());
    user_error("unknown target {}{}; known targets: {}", quote(name), did_you_mean(name, known), fmt::join(names, ", "));
}

}  // namespace

Target cuda_target(std::string_view name) {
    const auto row = std::ranges::find(cuda_rows, name, &CudaRow::name);
    if (row == cuda_rows.end()) unknown(name);
    Target target;
    target.platform = Platform::cuda;
    target.name = row->name;
    target.compute_capability = row->compute_capability;
    target.copy = row->copy;
    target.lanes = 32;
    target.shared_bytes_per_block = std::int64_t{row->shared_kib_per_block} * 1024;
    target.shared_bytes_per_multiprocessor = std::int64_t{row->shared_kib_per_multiprocessor} * 1024;
    target.registers_per_lane = 255;
    return target;
}

Target cpu_target(std::string_view name) {
    const std::string_view level = name.starts_with(cpu_prefix) ? name.substr(cpu_prefix.size()) : name;
    const auto row = std::ranges::find(cpu_rows, level, &CpuRow::name);
    if (row == cpu_rows.end()) unknown(name);
    Target target;
    target.platform = Platform::cpu;
    target.name = std::string(cpu_prefix) + std::string(row->name);
    target.triple = row->triple;
    target.cpu = row->cpu;
    target.features.assign(row->features.begin(), row->features.end());
    target.vector_bits = row->vector_bits;
    target.lanes = lanes_of(target, sizeof(float));
    target.registers_per_lane = row->registers;
    return target;
}

std::vector<std::string> known_targets() {
    std::vector<std::string> names;
    for (const CudaRow& row : cuda_rows) names.emplace_back(row.name);
    for (const CpuRow& row : cpu_rows) names.push_back(std::string(cpu_prefix) + std::string(row.name));
    return names;
}

int lanes_of(const Target& target, std::size_t element_bytes) {
    if (target.platform == Platform::cuda) return target.lanes;
    return std::max(1, target.vector_bits / static_cast<int>(8 * element_bytes));
}

}  // namespace flashtp
