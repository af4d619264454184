#include "tests/support/file_text.hpp"

#include <cstdlib>
#include <fstream>
#include <iterator>

namespace flashtp::test {

std::string read_text(const std::filesystem::path& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

void write_text(const std::filesystem::path& path, const std::string& text) { std::ofstream(path, std::ios::binary) << text; }

std::string kept_text(const std::filesystem::path& path, const std::string& now) {
    if (std::getenv("FLASHTP_BLESS")) write_text(path, now);
    return read_text(path);
}

}  // namespace flashtp::test
