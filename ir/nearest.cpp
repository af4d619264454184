#include "ir/nearest.hpp"

#include <algorithm>
#include <cctype>
#include <numeric>

#include <fmt/format.h>

namespace flashtp {
namespace {

/// Longer words are not compared: the cost is a product of lengths, and the text may be hostile.
constexpr std::size_t longest_word = 64;

bool same_letter(char a, char b) {
    return std::tolower(static_cast<unsigned char>(a)) == std::tolower(static_cast<unsigned char>(b));
}

std::size_t edit_distance(std::string_view a, std::string_view b) {
    std::vector<std::size_t> row(b.size() + 1);
    std::iota(row.begin(), row.end(), std::size_t{0});
    for (std::size_t i = 1; i <= a.size(); ++i) {
        std::size_t diagonal = row[0];
        row[0] = i;
        for (std::size_t j = 1; j <= b.size(); ++j) {
            const std::size_t replace = diagonal + (same_letter(a[i - 1], b[j - 1]) ? 0 : 1);
            diagonal = row[j];
            row[j] = std::min({row[j] + 1, row[j - 1] + 1, replace});
        }
    }
    return row.back();
}

}  // namespace

std::string nearest(std::string_view word, const std::vector<std::string_view>& known) {
    if (word.empty() || word.size() > longest_word) return "";
    std::string_view best;
    std::size_t best_distance = longest_word;
    for (std::string_view candidate : known) {
        const std::size_t distance = edit_distance(word, candidate);
        if (distance < best_distance) best = candidate, best_distance = distance;
    }
    // Half the letters wrong is no longer a slip of the pen.
    return 2 * best_distance <= std::max(word.size(), best.size()) ? std::string(best) : "";
}

std::string did_you_mean(std::string_view word, const std::vector<std::string_view>& known) {
    const std::string best = nearest(word, known);
    return best.empty() ? "" : fmt::format("; did you mean \"{}\"?", best);
}

std::string quote(std::string_view word) {
    std::string text(word.substr(0, longest_word));
    std::replace_if(text.begin(), text.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; }, '?');
    return fmt::format("\"{}{}\"", text, word.size() > longest_word ? "..." : "");
}

}  // namespace flashtp
