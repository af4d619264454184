// Artifacts and keys that the tests of the cache share.
#pragma once

#include <string>
#include <vector>

#include <fmt/format.h>

#include "runtime/cache/store.hpp"

namespace flashtp::test {

inline Artifact sample_artifact(std::uint8_t fill = 7, std::size_t bytes = 1000) {
    Artifact artifact;
    artifact.kernel_name = "kernel";
    artifact.target = "sm_90a";
    artifact.code.assign(bytes, fill);
    artifact.registers = 42;
    artifact.spill_bytes = 8;
    artifact.shared_bytes = 4096;
    artifact.log = "a warning";
    return artifact;
}

inline Key sample_key(const std::string& value = "1") { return Key().add("test", value); }

/// A store in a directory, without locks unless they are tested.
inline StoreOptions in(const std::filesystem::path& directory) { return {.directory = directory, .lock_seconds = 0}; }

struct Warnings {
    std::vector<std::string> messages;
    Log log{[this](LogLevel, std::string_view message) { messages.emplace_back(message); }};
};

}  // namespace flashtp::test
