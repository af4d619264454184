#include "ir/irreps.hpp"

#include <cctype>
#include <numeric>

#include "ir/error.hpp"
#include "ir/limits.hpp"

namespace flashtp {
namespace {

/// Reads one term of the grammar; every failure names the term.
class TermReader {
  public:
    TermReader(std::string_view text, std::size_t number) : text_(text), number_(number) {}

    MulIrrep read() {
        MulIrrep term;
        const std::size_t cross = text_.find('x');
        std::string_view rest = text_;
        if (cross != std::string_view::npos) {
            term.multiplicity = integer(text_.substr(0, cross), "multiplicity", limits::max_multiplicity);
            rest = text_.substr(cross + 1);
        }
        term.irrep = irrep(trim(rest));
        return term;
    }

    static std::string_view trim(std::string_view text) {
        const auto blank = [](char c) { return std::isspace(static_cast<unsigned char>(c)) != 0; };
        while (!text.empty() && blank(text.front())) text.remove_prefix(1);
        while (!text.empty() && blank(text.back())) text.remove_suffix(1);
        return text;
    }

  private:
    Irrep irrep(std::string_view text) const {
        if (text.empty()) fail("has no irrep; expected MxLp or Lp, as in 16x1o");
        const char parity = text.back();
        if (parity != 'e' && parity != 'o' && parity != 'y') fail("must end with the parity e, o or y");
        Irrep result;
        result.l = static_cast<int>(integer(text.substr(0, text.size() - 1), "degree l", limits::max_l));
        const bool odd = parity == 'o' || (parity == 'y' && result.l % 2 == 1);
        result.parity = odd ? -1 : 1;
        return result;
    }

    /// Stops at the limit, so that no number of digits overflows.
    std::int64_t integer(std::string_view text, std::string_view what, const Limit& limit) const {
        text = trim(text);
        if (text.empty()) fail(fmt::format("has no {}; expected MxLp or Lp, as in 16x1o", what));
        std::int64_t value = 0;
        for (char c : text) {
            if (c < '0' || c > '9') fail(fmt::format("has a {} that is not a non-negative integer", what));
            if (value <= limit.value) value = 10 * value + (c - '0');
        }
        if (value > limit.value) limit_error(limit, where(), fmt::format("{} {}", what, shortened(text)));
        return value;
    }

    static std::string shortened(std::string_view text) {
        constexpr std::size_t longest = 40;
        return text.size() <= longest ? std::string(text) : std::string(text.substr(0, longest)) + "...";
    }

    std::string where() const { return fmt::format("irreps term {} \"{}\"", number_, shortened(text_)); }
    [[noreturn]] void fail(std::string_view rule) const { user_error("{} {}", where(), rule); }

    std::string_view text_;
    std::size_t number_;
};

}  // namespace

Irreps Irreps::parse(std::string_view text) {
    std::vector<MulIrrep> segments;
    if (TermReader::trim(text).empty()) return Irreps(segments);
    for (std::size_t start = 0; start <= text.size();) {
        const std::size_t end = std::min(text.find('+', start), text.size());
        check_limit(limits::max_segments, "irreps", static_cast<std::int64_t>(segments.size() + 1));
        segments.push_back(TermReader(TermReader::trim(text.substr(start, end - start)), segments.size()).read());
        start = end + 1;
    }
    return Irreps(std::move(segments));
}

std::int64_t Irreps::dim() const { return offset(size()); }

std::int64_t Irreps::offset(std::size_t index) const {
    const auto end = segments_.begin() + static_cast<std::ptrdiff_t>(index);
    return std::accumulate(segments_.begin(), end, std::int64_t{0},
                           [](std::int64_t sum, const MulIrrep& segment) { return sum + segment.dim(); });
}

std::string to_string(const Irrep& irrep) { return fmt::format("{}{}", irrep.l, irrep.parity > 0 ? 'e' : 'o'); }

std::string to_string(const Irreps& irreps) {
    std::string text;
    for (const MulIrrep& segment : irreps) {
        if (!text.empty()) text += '+';
        text += fmt::format("{}x{}", segment.multiplicity, to_string(segment.irrep));
    }
    return text;
}

}  // namespace flashtp
