// Keeps a cache directory below its caps and free of what dead writers left.
#pragma once

#include <cstdint>

#include "runtime/cache/directory.hpp"

namespace flashtp {

struct CacheCaps {
    std::uint64_t bytes = 2ull << 30;
    std::uint64_t files = 10'000;
};

struct CollectReport {
    bool busy = false;  ///< another process collected for too long to wait for it: nothing was done
    std::int64_t evicted = 0, evicted_bytes = 0, temporaries = 0;
    std::int64_t entries = 0, bytes = 0;  ///< that stay
};

/// Where a directory exceeds a cap, removes the entries that were not used for longest, down to 80 % of it. Entries of the last hour
/// go only where that is not enough. Removes temporary files whose writers are dead. Readers are never disturbed: they hold the file
/// open or find a miss. Times are compared with the file system's clock, and those in the future count as now.
CollectReport collect(const CacheDirectory&, const CacheCaps&);

/// Whether to collect after storing an entry: once a minute, and at once where the entry's subdirectory, one of 256, has well above
/// its share. `now` is Published::written_at.
bool collection_is_due(const CacheDirectory&, const CacheCaps&, const std::string& name, std::int64_t now);

/// Removes every entry, and temporary files whose writers are dead.
CollectReport clear(const CacheDirectory&);

}  // namespace flashtp
