#include "tools/flashtp_compile/text.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <string_view>

#include <fmt/format.h>

namespace flashtp::tools {
namespace {

bool is_number(std::string_view cell) {
    return !cell.empty() && (std::isdigit(static_cast<unsigned char>(cell[0])) || cell[0] == '-');
}

/// Three significant digits.
std::string three_digits(double value) {
    const double size = std::fabs(value);
    return fmt::format("{:.{}f}", value, size >= 99.95 ? 0 : size >= 9.995 ? 1 : 2);
}

}  // namespace

std::string grouped(std::int64_t value) {
    std::string text = fmt::to_string(value);
    const std::size_t first = value < 0 ? 1 : 0;
    for (std::size_t at = text.size(); at > first + 3;) text.insert(at -= 3, ",");
    return text;
}

std::string scaled(double value, const std::string& unit) {
    static constexpr std::array prefixes = {"", "k", "M", "G", "T", "P"};
    std::size_t step = 0;
    while (std::fabs(value) >= 999.5 && step + 1 < prefixes.size()) {
        value /= 1000;
        ++step;
    }
    const std::string number = step == 0 && value == std::floor(value) ? fmt::format("{:.0f}", value) : three_digits(value);
    const std::string suffix = prefixes[step] + unit;
    return suffix.empty() ? number : number + " " + suffix;
}

std::string duration(double seconds) {
    if (seconds < 1e-3) return three_digits(seconds * 1e6) + " us";
    if (seconds < 1) return three_digits(seconds * 1e3) + " ms";
    return three_digits(seconds) + " s";
}

std::string Table::text() const {
    std::vector<std::size_t> widths;
    for (const auto& row : rows_) {
        widths.resize(std::max(widths.size(), row.size()));
        for (std::size_t c = 0; c < row.size(); ++c) widths[c] = std::max(widths[c], row[c].size());
    }
    std::string text;
    for (std::size_t r = 0; r < rows_.size(); ++r) {
        std::string line;
        for (std::size_t c = 0; c < rows_[r].size(); ++c) {
            // A head stands over its numbers.
            const std::string& sample = rows_[r == 0 && rows_.size() > 1 ? 1 : r][c];
            const char align = is_number(sample) ? '>' : '<';
            line += align == '>' ? fmt::format("{:>{}}", rows_[r][c], widths[c]) : fmt::format("{:<{}}", rows_[r][c], widths[c]);
            line += "  ";
        }
        line.erase(line.find_last_not_of(' ') + 1);
        text += line + "\n";
    }
    return text;
}

}  // namespace flashtp::tools
