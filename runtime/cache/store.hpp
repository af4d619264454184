// The kernel cache on disk: layers that are asked in turn, and one that is written.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "runtime/backend.hpp"
#include "runtime/cache/directory.hpp"
#include "runtime/cache/entry.hpp"
#include "runtime/cache/eviction.hpp"
#include "runtime/cache/key.hpp"
#include "runtime/cache/pack.hpp"
#include "runtime/cache/work_lock.hpp"
#include "runtime/log.hpp"

namespace flashtp {

struct StoreOptions {
    std::filesystem::path directory;               ///< absolute; empty: nothing is stored
    std::vector<std::filesystem::path> read_only;  ///< absolute: cache directories and packs
    Trust trust;
    CacheCaps caps;
    double lock_seconds = 60;  ///< the longest wait for another process that compiles the same; 0: no locks
};

/// One entry of the cache, as `cache list` shows it.
struct StoredFile {
    std::filesystem::path path;  ///< the file, or the pack that holds it
    std::string key;             ///< its name: 64 hexadecimal digits
    std::uint64_t bytes = 0;
    std::string kind;                        ///< "kernel", "program" or "tuned"; empty when the file is bad, as are the next three
    std::string kernel, target, self_check;  ///< from its metadata
    std::string problem;                     ///< empty, or why it would be rejected
};

enum class Reject { untrusted, unreadable, damaged, other_key };

struct StoreCounts {
    std::int64_t hits = 0, misses = 0, rejected = 0, stored = 0, store_failures = 0;
    std::int64_t read_only_hits = 0, lock_timeouts = 0, evicted = 0;
    std::int64_t program_hits = 0, program_misses = 0, tuned_hits = 0;  ///< of records; the others count kernels
    std::array<std::int64_t, 4> rejects{};  ///< by Reject
};

/// Reads take no lock and verify what they read: owner and mode, checksum, then the key's text byte for byte. No failure of a disk
/// is an error of a kernel: a bad or unreadable file is a miss, a failed write is counted, logged once a cause and forgotten.
/// Thread-safe.
class ArtifactStore {
  public:
    /// Throws UserError for a path that is not absolute. A layer that cannot be used is logged and left out.
    ArtifactStore(StoreOptions, Log&);

    std::optional<Artifact> load(const Key&);
    /// Whether the entry is on disk afterwards. An entry that is there and good stays, unless it is to be replaced.
    bool save(const Key&, const Artifact&, bool replace = false);
    /// The same for records, which have counters of their own.
    std::optional<Record> load_record(const Key&, EntryKind);
    bool save_record(const Key&, const Record&, bool replace = false);

    struct Obtained {
        Artifact artifact;
        bool cached = false;
    };
    /// An entry that `accept` agrees to, else what `make` returns, which is stored. While another process of this machine makes the same,
    /// this one waits for a limited time. What was made is returned as it is in memory, never as it was read back: a network file
    /// system may show it late.
    Obtained obtain(const Key&, const std::function<bool(const Artifact&)>& accept, const std::function<Artifact()>& make);
    /// What `clear` and `collect` of runtime/cache/eviction.hpp do, in the directory that is written; nothing where there is none.
    CollectReport collect();
    CollectReport clear();

    /// Every entry of all layers, or of the directory alone, verified: first by layer, then by name.
    std::vector<StoredFile> list(bool read_only_layers = false) const;
    /// Bytes of every good entry of the directory.
    std::vector<PackEntry> entries() const;
    /// Puts an entry made elsewhere into the directory. Empty, or why it was not taken.
    std::string add(const PackEntry&);
    /// Bytes of an entry, by its whole name or the beginning of it. Throws UserError where none or several have it.
    PackEntry find(const std::string& prefix) const;
    /// The toolchain that made the entries of a target, as their keys have it; empty where there are none.
    std::string toolchain_of(const std::string& target) const;
    StoreCounts counts() const;
    const std::filesystem::path& directory() const { return options_.directory; }
    const StoreOptions& options() const { return options_; }
    /// Where the key's entry is or would be.
    std::filesystem::path path_of(const Key&) const;

  private:
    using Layer = std::variant<CacheDirectory, Pack>;

    void open_layers();
    template <class Content>
    std::optional<Content> load_from(const Layer&, const Key&, const std::string& name);
    template <class Content>
    bool publish(const Key&, const Content&, bool replace);
    void reject(const std::filesystem::path&, Reject, const std::string& why);
    void fail(const Published&);
    const CacheDirectory* writable() const;
    WorkLock lock(const std::string& name);

    StoreOptions options_;
    Log& log_;
    std::filesystem::path lock_directory_;
    bool has_directory_ = false;        ///< then it is the first layer
    std::atomic<bool> refused_{false};  ///< the directory cannot be written: nothing is tried again
    std::vector<Layer> layers_;
    std::atomic<std::int64_t> hits_{0}, misses_{0}, stored_{0}, failures_{0}, read_only_hits_{0}, lock_timeouts_{0}, evicted_{0},
        program_hits_{0}, program_misses_{0}, tuned_hits_{0};
    std::array<std::atomic<std::int64_t>, 4> rejects_{};
};

}  // namespace flashtp
