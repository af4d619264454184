// The kernel cache on disk: one immutable file a key.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "runtime/backend.hpp"
#include "runtime/key.hpp"
#include "runtime/log.hpp"

namespace flashtp {

/// One file of the cache, as `cache list` shows it.
struct StoredFile {
    std::filesystem::path path;
    std::string key;  ///< the file's name
    std::uint64_t bytes = 0;
    std::string kernel, target;  ///< from its metadata; empty when the file is bad
    std::string problem;         ///< empty, or why it would be rejected
};

struct StoreCounts {
    std::int64_t hits = 0, misses = 0, rejected = 0, stored = 0, store_failures = 0;
};

/// Entries are `v1/<2 hex>/<64 hex>` below the directory, published whole and never changed, read without locks into private
/// memory and verified (checksum, then the key text byte for byte). No failure of the disk is an error of a kernel: a bad or
/// unreadable file is a miss, a failed write is counted, logged once and forgotten. Thread-safe.
class ArtifactStore {
  public:
    /// An empty directory: nothing is read or written. A directory that is not absolute throws UserError.
    ArtifactStore(std::filesystem::path directory, Log& log);

    std::optional<Artifact> load(const Key&);
    /// Whether the entry is on disk afterwards.
    bool save(const Key&, const Artifact&);

    /// Every file of the cache, verified, in order of path.
    std::vector<StoredFile> list() const;
    StoreCounts counts() const;
    const std::filesystem::path& directory() const { return directory_; }
    /// Where the key's entry is or would be.
    std::filesystem::path path_of(const Key&) const;

  private:
    void reject(const std::filesystem::path&, const std::string& why);
    void fail(const std::string& what, int error);
    bool publish(const std::vector<std::uint8_t>& bytes, const std::filesystem::path& final, bool replace);

    std::filesystem::path directory_;
    Log& log_;
    std::atomic<std::int64_t> hits_{0}, misses_{0}, rejected_{0}, stored_{0}, failures_{0};
};

}  // namespace flashtp
