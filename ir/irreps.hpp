// Irreducible representations of O(3) and lists of them with multiplicities, in e3nn's grammar and order.
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace flashtp {

/// One irrep: degree l >= 0 and parity +1 (e) or -1 (o). Its components are e3nn's real basis, m = -l..l.
struct Irrep {
    int l = 0;
    int parity = 1;

    int dim() const { return 2 * l + 1; }
    friend bool operator==(const Irrep&, const Irrep&) = default;
};

/// `multiplicity` copies of one irrep: a segment of an operand's row.
struct MulIrrep {
    std::int64_t multiplicity = 1;
    Irrep irrep;

    std::int64_t dim() const { return multiplicity * irrep.dim(); }
    friend bool operator==(const MulIrrep&, const MulIrrep&) = default;
};

/// A direct sum of segments. Repeated and zero-multiplicity segments are kept: instructions refer to them by index.
class Irreps {
  public:
    Irreps() = default;
    explicit Irreps(std::vector<MulIrrep> segments) : segments_(std::move(segments)) {}

    /// Parses "128x0e+64x1o": terms `MxLp` or `Lp` (M = 1), p one of e, o, y (y means parity (-1)^l); blanks are allowed; the
    /// empty string is the empty sum. Throws UserError that names the term.
    static Irreps parse(std::string_view text);

    std::size_t size() const { return segments_.size(); }
    const MulIrrep& operator[](std::size_t index) const { return segments_[index]; }
    auto begin() const { return segments_.begin(); }
    auto end() const { return segments_.end(); }

    std::int64_t dim() const;
    /// First position of a segment in the row.
    std::int64_t offset(std::size_t index) const;
    friend bool operator==(const Irreps&, const Irreps&) = default;

  private:
    std::vector<MulIrrep> segments_;
};

std::string to_string(const Irrep&);
std::string to_string(const Irreps&);

}  // namespace flashtp
