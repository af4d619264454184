// Reading and writing the structures of the C API, whose size tells what the caller knows of them.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>

#include "flashtp/flashtp.h"
#include "ir/error.hpp"
#include "runtime/cache/store.hpp"
#include "runtime/program.hpp"
#include "runtime/self_check.hpp"

namespace flashtp {

/// An argument of a C function is wrong, as opposed to a rule of a problem.
struct ArgumentError : UserError {
    using UserError::UserError;
};

template <class T>
T* need(T* pointer, const char* name) {
    if (!pointer) throw ArgumentError(fmt::format("{} is null", name));
    return pointer;
}

template <class List>
const typename List::value_type& element(const List& list, std::int32_t index) {
    if (index < 0 || static_cast<std::size_t>(index) >= list.size()) {
        throw ArgumentError(fmt::format("index is {}; there are {}", index, list.size()));
    }
    return list[static_cast<std::size_t>(index)];
}

template <class T>
std::size_t checked_size(const T* given, const char* name, std::size_t least) {
    need(given, name);
    if (reinterpret_cast<std::uintptr_t>(given) % alignof(T) != 0) throw ArgumentError(fmt::format("{} is misaligned", name));
    const std::size_t size = given->size;
    // A size far off is memory that was never set, and no version of a structure ends within a field.
    if (size < least || size > sizeof(T) + 4096 || size % alignof(T) != 0) {
        throw ArgumentError(fmt::format("{}.size is {}; set it to sizeof, which is {} here", name, size, sizeof(T)));
    }
    return size;
}

/// The structure with fields that an older caller does not have at zero. A newer caller's further fields must be zero.
template <class T>
T read_struct(const T* given, const char* name, std::size_t least) {
    const std::size_t size = checked_size(given, name, least);
    T result{};
    std::memcpy(&result, given, std::min(size, sizeof(T)));
    const auto* const bytes = reinterpret_cast<const unsigned char*>(given);
    if (size > sizeof(T) && std::any_of(bytes + sizeof(T), bytes + size, [](unsigned char byte) { return byte != 0; })) {
        throw ArgumentError(fmt::format("{} has fields that this version of the library does not know", name));
    }
    return result;
}

/// Writes what the caller has room for and leaves its size.
template <class T>
void write_struct(T* to, const char* name, T value) {
    const std::size_t size = std::min(checked_size(to, name, sizeof(std::size_t)), sizeof(T));
    value.size = to->size;
    std::memcpy(to, &value, size);
}

inline flashtp_cache_counts cache_counts_struct(const StoreCounts& c) {
    flashtp_cache_counts result{0, c.hits, c.misses, c.rejected, c.stored, c.store_failures};
    const auto rejects = [&](Reject reason) { return c.rejects[static_cast<std::size_t>(reason)]; };
    result.read_only_hits = c.read_only_hits;
    result.untrusted = rejects(Reject::untrusted);
    result.unreadable = rejects(Reject::unreadable);
    result.damaged = rejects(Reject::damaged);
    result.other_key = rejects(Reject::other_key);
    result.lock_timeouts = c.lock_timeouts;
    result.evicted = c.evicted;
    result.program_hits = c.program_hits;
    result.program_misses = c.program_misses;
    result.tuned_hits = c.tuned_hits;
    return result;
}

inline flashtp_kernel kernel_struct(const KernelFacts& kernel, const Target& target, const CompiledKernel& compiled) {
    flashtp_kernel result{};
    result.name = kernel.name.c_str();
    result.key = compiled.key.c_str();
    result.code_bytes = static_cast<std::int64_t>(compiled.artifact->code.size());
    result.registers = compiled.artifact->registers;
    result.cached = compiled.cached;
    result.self_check = compiled.artifact->self_check == self_check_passed;
    result.receiver_rows = kernel.receiver_rows;
    if (target.platform != Platform::cuda) return result;
    result.spill_bytes = compiled.artifact->spill_bytes;
    result.shared_bytes = kernel.shared_bytes;
    result.threads_per_block = kernel.warps_per_block * kernel.lanes;
    result.rows_per_block = kernel.warps_per_block * kernel.rows_per_warp;
    result.grid_y = static_cast<std::int32_t>(kernel.chunks);
    return result;
}

}  // namespace flashtp
