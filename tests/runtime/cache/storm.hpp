// Many processes on one cache, killed at random while they work.
#pragma once

#include <cstdint>
#include <filesystem>

namespace flashtp::test {

struct StormOptions {
    std::filesystem::path directory;
    int processes = 64, keys = 8;
    double seconds = 60;
    double kill_every_ms = 2;  ///< SIGKILL for a random process; 0: none dies
    bool in_place = false;     ///< writers overwrite the visible file, as a careless cache does: the storm must notice
    bool clear = false;        ///< the directory is emptied and removed all the time
};

struct StormResult {
    std::int64_t reads = 0;    ///< that found an entry and compared all of it
    std::int64_t corrupt = 0;  ///< entries refused as damaged, or with another content than was written
    std::int64_t errors = 0;   ///< anything thrown
    std::int64_t killed = 0;
    std::int64_t temporaries = 0;  ///< left after one collection
    std::int64_t entries = 0;
};

StormResult storm(const StormOptions&);

}  // namespace flashtp::test
