// Whole files as text, and texts that are kept in the repository.
#pragma once

#include <filesystem>
#include <string>

namespace flashtp::test {

std::string read_text(const std::filesystem::path&);
void write_text(const std::filesystem::path&, const std::string& text);

/// The text of a file of the repository, which `now` must equal. FLASHTP_BLESS=1 rewrites the file with it first.
std::string kept_text(const std::filesystem::path&, const std::string& now);

}  // namespace flashtp::test
