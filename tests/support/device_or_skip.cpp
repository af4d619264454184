#include "tests/support/device_or_skip.hpp"

#include <iostream>
#include <string>

#include "runtime/device.hpp"

bool flashtp::test::device_or_skip() {
    std::string why;
    const bool present = has_cuda_device(&why);
    if (!present) std::cout << "SKIPPED: " << why << std::endl;
    return present;
}
