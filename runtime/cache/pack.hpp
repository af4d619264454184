// Many cache entries in one read-only file: for a container layer, or beside a model file.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "runtime/cache/files.hpp"

namespace flashtp {

/// An entry's name and bytes.
struct PackEntry {
    std::string name;
    std::vector<std::uint8_t> bytes;
};

/// The same entries give the same bytes. All integers are little-endian:
///   magic "FLASHTPK" | u32 format | u32 entries | u64 total bytes
///   an entry each, in order of name: 32 bytes name | u64 offset | u64 length
///   SHA-256 of everything before | the entries' bytes, one after the other
/// Entries carry checksums of their own, so that opening a pack reads its index only.
std::vector<std::uint8_t> pack_bytes(std::vector<PackEntry>);

struct PackIndexEntry {
    std::string name;
    std::uint64_t offset, length;
};
/// Of the first bytes of a pack of `total` bytes. Throws UserError that says what is wrong; never reads outside `bytes`.
std::vector<PackIndexEntry> parse_pack_index(std::span<const std::uint8_t> bytes, std::uint64_t total);

/// An open pack. The file stays open: replacing it does not disturb this process. Thread-safe.
class Pack {
  public:
    /// Throws UserError for a file that cannot be read, is not trusted or is no pack.
    Pack(std::filesystem::path, const Trust&);

    const std::filesystem::path& path() const { return path_; }
    bool contains(const std::string& name) const { return index_.contains(name); }
    FileContent read(const std::string& name) const;
    std::vector<std::string> names() const;

  private:
    std::filesystem::path path_;
    File file_;
    std::map<std::string, PackIndexEntry> index_;
};

}  // namespace flashtp
