// From statements on fibres to multiply-adds on components, in an order that keeps few of them alive.
#pragma once

#include <vector>

#include "compiler/nest.hpp"

namespace flashtp {

/// One step of straight-line code.
struct ScalarStep {
    enum class Kind {
        load,  ///< all components of the input `dst`
        zero,  ///< dst component = 0: nothing writes it, but something reads the whole fibre
        term   ///< dst component = or += value * a [* b]
    };
    Kind kind = Kind::term;
    ValueId dst = 0;
    int component = 0;
    bool first = false;  ///< assigns instead of adding
    double value = 1;
    ValueId a = -1, b = -1;
    int a_component = 0, b_component = 0;
};

/// What a value is to the statements being ordered.
enum class ScalarRole {
    ready,    ///< in registers already
    load,     ///< an input to be loaded at its first use
    temp,     ///< all of its writers are here: computed when first needed
    sum       ///< an accumulator: added to as soon as a term's factors are known
};

/// Temporaries are computed one component at a time, when something needs them; a term of an accumulator is added as soon as its
/// factors exist. `initialized[v]` says whether the accumulator v holds a value already (else its first term assigns); it is
/// updated. Terms with a factor that nothing writes are zero and dropped.
std::vector<ScalarStep> order_scalars(const Nest& nest, const std::vector<int>& statements, const std::vector<ScalarRole>& roles,
                                      std::vector<std::vector<bool>>& initialized);

}  // namespace flashtp
