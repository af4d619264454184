// Links and paths in the documentation lead somewhere.
#include <algorithm>
#include <filesystem>
#include <regex>
#include <sstream>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "tests/support/file_text.hpp"

namespace fs = std::filesystem;
using flashtp::test::read_text;

namespace {

const fs::path source = FLASHTP_SOURCE_DIR;

std::vector<fs::path> pages() {
    std::vector<fs::path> found = {source / "README.md", source / "CONTRIBUTING.md", source / "examples/specs/README.md"};
    for (const auto& entry : fs::recursive_directory_iterator(source / "docs")) {
        if (entry.path().extension() == ".md") found.push_back(entry.path());
    }
    std::ranges::sort(found);
    return found;
}

/// The targets of [text](target) outside code.
std::vector<std::string> links_of(const std::string& text) {
    static const std::regex code("`[^`]*`"), link(R"(\]\(([^)\s]+)\))");
    std::vector<std::string> links;
    std::istringstream lines(text);
    bool fenced = false;
    for (std::string line; std::getline(lines, line);) {
        if (line.starts_with("```")) fenced = !fenced;
        if (fenced) continue;
        line = std::regex_replace(line, code, "code");
        for (std::sregex_iterator at(line.begin(), line.end(), link), end; at != end; ++at) links.push_back((*at)[1]);
    }
    return links;
}

}  // namespace

TEST_CASE("docs: links lead to files of this tree") {
    for (const fs::path& page : pages()) {
        for (std::string link : links_of(read_text(page))) {
            if (link.starts_with("https://")) continue;
            link.resize(std::min(link.size(), link.find('#')));
            CHECK_MESSAGE((link.empty() || fs::exists(page.parent_path() / link)), page.string(), " links to ", link);
        }
    }
}

TEST_CASE("docs: every page is in the index") {
    const std::string index = read_text(source / "docs/README.md");
    for (const fs::path& page : pages()) {
        const fs::path name = fs::relative(page, source / "docs");
        if (name.native().starts_with("..") || name == "README.md") continue;
        CHECK_MESSAGE(index.find("(" + name.string() + ")") != index.npos, name.string(), " is not in docs/README.md");
    }
}
