// Engines whose compiled kernels stay in memory: tests neither read nor fill the user's cache.
#pragma once

#include "runtime/options.hpp"

namespace flashtp::test {

inline EngineOptions memory_only() {
    EngineOptions options;
    options.cache_directory = "";
    return options;
}

}  // namespace flashtp::test
