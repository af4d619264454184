// One target as a libFuzzer program; CMakeLists.txt names it.
#include <cstddef>
#include <cstring>

#include "tests/fuzz/targets.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    for (const auto& target : flashtp::test::fuzz_targets()) {
        if (std::strcmp(target.name, FLASHTP_FUZZ_TARGET) == 0) target.run({data, size});
    }
    return 0;
}
