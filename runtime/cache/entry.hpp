// The bytes of one cache entry. Pure functions, so that any input can be tried on them.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/backend.hpp"

namespace flashtp {

/// Immutable and self-describing; the same key and artifact give the same bytes on every machine, so racing writers are
/// interchangeable. All integers are little-endian:
///   magic "FLASHTP\n" | u16 format | u16 kind | u32 sections | u64 total bytes | 32 bytes SHA-256 of the key text
///   a section each: u32 type | u32 zero | u64 offset | u64 length
///   the sections' bytes: key text, code, metadata (fields like those of a key)
///   u64 total bytes | SHA-256 of everything before | magic "\nPTHSALF"
struct CacheEntry {
    std::string key_text;
    Artifact artifact;
};

std::vector<std::uint8_t> to_bytes(const CacheEntry&);
/// Throws UserError that says what is wrong; never reads outside `bytes`.
CacheEntry parse_entry(std::span<const std::uint8_t> bytes);

}  // namespace flashtp
