// "did you mean": the known word closest to what the user wrote.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace flashtp {

/// The known word with the smallest edit distance (case ignored), or "" when none is close enough to be meant.
std::string nearest(std::string_view word, const std::vector<std::string_view>& known);
/// "; did you mean "uvu"?", or "" when no known word is close.
std::string did_you_mean(std::string_view word, const std::vector<std::string_view>& known);
/// The word in quotes, cut when it is long and with control characters replaced: safe to show.
std::string quote(std::string_view word);

}  // namespace flashtp
