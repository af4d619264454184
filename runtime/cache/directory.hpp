// A directory of cache entries: `v1/<2 hex>/<64 hex>`, one immutable file a key.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "runtime/cache/files.hpp"

namespace flashtp {

/// What `publish` did; `written_at` is the time by the clock of the file system, seconds.
struct Published {
    int error = 0;  ///< errno; 0: the entry is there
    std::string what;
    std::int64_t written_at = 0;
};

/// Entries are published whole and never changed, so that reading needs no lock. Names are keys' digests in hexadecimal; the content
/// is not looked at here. Thread-safe.
class CacheDirectory {
  public:
    /// `path` is absolute. A directory that may be written is created when it is first needed.
    CacheDirectory(std::filesystem::path path, Trust trust, bool may_write)
        : path_(std::move(path)), trust_(std::move(trust)), may_write_(may_write) {}

    const std::filesystem::path& path() const { return path_; }
    std::filesystem::path path_of(const std::string& name) const;
    std::filesystem::path temporary_directory() const { return path_ / "tmp"; }

    /// `use` marks an entry as used, so that it is not the next to be evicted.
    FileContent read(const std::string& name, bool use = false) const;
    bool contains(const std::string& name) const;
    /// With replace an entry that is there is replaced, otherwise it stays.
    Published publish(const std::string& name, const std::vector<std::uint8_t>& bytes, bool replace) const;
    /// Names of all entries, sorted.
    std::vector<std::string> names() const;
    /// Removes an entry; one that is gone already is removed.
    bool remove(const std::string& name) const;
    /// Why nothing in this directory is used; empty when it may be.
    std::string problem() const;

  private:
    bool is_writable() const;

    std::filesystem::path path_;
    Trust trust_;
    bool may_write_;
};

/// The subdirectory's name says how entries are laid out and named.
inline constexpr const char* cache_layout = "v1";
inline constexpr std::uint64_t max_entry_bytes = 256ull << 20;
bool is_entry_name(const std::string&);

}  // namespace flashtp
