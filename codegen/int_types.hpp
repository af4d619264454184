// Which integers of a task are 32 bits wide in C, and which products need 64.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "ir/kernel.hpp"

namespace flashtp {

/// Rows, edges and what is added to them are `int`; a multiple of one is not. Chunks, stages and constant loops are known to be
/// small, so that their multiples stay 32 bits wide.
class IntTypes {
  public:
    IntTypes(const Kernel&, const KernelTask&);

    bool wide(IntId id) const { return facts_[static_cast<std::size_t>(id)].wide; }
    /// factor * variable leaves the range of `int`, though the variable does not.
    bool product_is_wide(IntId, std::int64_t factor) const;

  private:
    struct Fact {
        bool wide = false;
        int definitions = 0;
        bool stage = false;
        std::optional<std::int64_t> bound;  ///< of the absolute value, where a small one is known
    };
    Fact& fact(IntId id) { return facts_[static_cast<std::size_t>(id)]; }
    const Fact& fact(IntId id) const { return facts_[static_cast<std::size_t>(id)]; }
    void count(const Block&);
    void derive(const Block&);
    void define(IntId, std::initializer_list<const Affine*>);
    bool is_wide(const Affine&) const;
    std::optional<std::int64_t> bound(const Affine&) const;

    std::vector<Fact> facts_;
};

}  // namespace flashtp
