#include "ir/kernel.hpp"

#include <algorithm>

namespace flashtp {

Affine Affine::of(IntId variable, std::int64_t factor) {
    Affine a;
    if (factor != 0) a.terms.emplace_back(variable, factor);
    return a;
}

Affine Affine::times(std::int64_t factor) const {
    Affine result(constant * factor);
    for (const auto& [variable, f] : terms) result += Affine::of(variable, f * factor);
    return result;
}

/// Merges two sorted lists of terms; factors that cancel disappear, so that equal sums compare equal.
Affine& Affine::operator+=(const Affine& other) {
    constant += other.constant;
    if (other.terms.empty()) return *this;
    std::vector<std::pair<IntId, std::int64_t>> merged;
    merged.reserve(terms.size() + other.terms.size());
    auto a = terms.begin();
    auto b = other.terms.begin();
    while (a != terms.end() || b != other.terms.end()) {
        if (b == other.terms.end() || (a != terms.end() && a->first < b->first)) {
            merged.push_back(*a++);
        } else if (a == terms.end() || b->first < a->first) {
            merged.push_back(*b++);
        } else {
            if (a->second + b->second != 0) merged.emplace_back(a->first, a->second + b->second);
            ++a, ++b;
        }
    }
    terms = std::move(merged);
    return *this;
}

// A row a lane, an odd number of 16-byte units long, so that neither rows nor columns meet in a bank; reads may go past the last row.
std::int64_t reduce_scratch(std::size_t count, int lanes) {
    const auto units = static_cast<std::int64_t>((std::min(count, most_sums) + 3) / 4) | 1;
    return lanes * units * 4 + lanes;
}

// Columns are an odd number of 16-byte units apart, so that eight of them never meet in a bank.
MatrixLayout matrix_layout(const BlockMatrix& matrix) {
    constexpr std::int64_t half = 2, number = 4;
    MatrixLayout layout{};
    layout.depth = (matrix.rows + 15) / 16 * 16;
    layout.width = (matrix.width() + 15) / 16 * 16;
    layout.pitch = layout.depth + 8;
    layout.low = layout.width * layout.pitch * half;
    layout.exponent = 2 * layout.low;
    layout.bias = layout.exponent + 4 * number;
    layout.bytes = (layout.bias + (matrix.bias ? layout.width * number : 0) + 127) / 128 * 128;
    return layout;
}

std::int64_t matrix_bytes(const Kernel& kernel) {
    std::int64_t most = 0;
    for (const KernelTask& task : kernel.tasks) {
        std::int64_t bytes = 0;
        for (const BlockMatrix& matrix : task.matrices) bytes += matrix.written ? 0 : matrix_layout(matrix).bytes;
        most = std::max(most, bytes);
    }
    return most;
}

bool has_edge_products(const Kernel& kernel) {
    const auto is_product = [](const KernelStatement& s) { return std::holds_alternative<EdgeProduct>(s.node); };
    return std::ranges::any_of(kernel.tasks, [&](const KernelTask& t) { return std::ranges::any_of(t.body, is_product); });
}

bool uses_barriers(const Kernel& kernel) {
    return kernel.stages > 0 && std::ranges::any_of(kernel.tasks, [](const KernelTask& t) { return t.copy == CopyMechanism::barrier; });
}

std::int64_t shared_bytes(const Kernel& kernel) {
    constexpr std::int64_t alignment = 128;  // of a warp's region: bulk copies start on 16 bytes, cache lines are 128
    const std::int64_t bytes = kernel.shared_elements * static_cast<std::int64_t>(size_of(kernel.compute));
    const std::int64_t region = (bytes + alignment - 1) / alignment * alignment;
    const std::int64_t barriers = uses_barriers(kernel) ? 8 * kernel.stages : 0;
    return matrix_bytes(kernel) + kernel.warps_per_block * (region + barriers);
}

bool added_by_parts(const Kernel& kernel, const Buffer& buffer) {
    return kernel.receiver_rows && buffer.operand && buffer.operand->role == Role::output && buffer.operand->row == Row::receiver;
}

bool shares_edges(const Kernel& kernel) {
    if (kernel.target.platform != Platform::cuda || !kernel.receiver_rows || kernel.windows || matrix_bytes(kernel) > 0) return false;
    const auto adds = [&](const Buffer& b) { return added_by_parts(kernel, b); };
    const auto writes = [&](const Buffer& b) { return b.operand && b.operand->role == Role::output && !adds(b); };
    return std::ranges::any_of(kernel.buffers, adds) && std::ranges::any_of(kernel.buffers, writes);
}

}  // namespace flashtp
