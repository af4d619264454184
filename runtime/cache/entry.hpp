// The bytes of one cache entry. Pure functions, so that any input can be tried on them.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "runtime/backend.hpp"

namespace flashtp {

enum class EntryKind : std::uint16_t { cubin = 1, elf_object = 2, program = 3, tuned = 4 };

/// What is no code but was expensive to find out: text, by which nothing but this library knows what to do.
struct Record {
    EntryKind kind = EntryKind::program;
    std::string title, target;  ///< for people; `target` as in Artifact
    std::string text;
    friend bool operator==(const Record&, const Record&) = default;
};

/// Immutable and self-describing; the same key and content give the same bytes on every machine, so racing writers are
/// interchangeable. All integers are little-endian:
///   magic "FLASHTP\n" | u16 format | u16 kind | u32 sections | u64 total bytes | 32 bytes SHA-256 of the key text
///   a section each: u32 type | u32 zero | u64 offset | u64 length
///   the sections' bytes: key text, code or a record's text, metadata (fields like those of a key)
///   u64 total bytes | SHA-256 of everything before | magic "\nPTHSALF"
struct CacheEntry {
    std::string key_text;
    std::variant<Artifact, Record> content;

    /// Throw UserError where it is the other.
    const Artifact& artifact() const;
    const Record& record() const;
    const std::string& target() const;
};

std::vector<std::uint8_t> to_bytes(const CacheEntry&);
/// Throws UserError that says what is wrong; never reads outside `bytes`.
CacheEntry parse_entry(std::span<const std::uint8_t> bytes);

}  // namespace flashtp
