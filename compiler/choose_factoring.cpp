#include "compiler/choose_factoring.hpp"

#include <cstdint>

#include "compiler/cut_program.hpp"
#include "compiler/derivative.hpp"
#include "compiler/split_forms.hpp"

namespace flashtp {

namespace {

/// Vector instructions of an edge: what belongs to all channels takes one lane of them.
std::int64_t vector_operations(const EdgeProgram& program, int lanes) {
    const OperationCount count = count_operations(program);
    return count.channel / lanes + count.once;
}

}  // namespace

// Forms leave fewer multiply-adds to the channels, but take a load each: that was faster up to 0.776 of the operations and slower from
// 0.793 on (docs/performance.md).
Factoring choose_factoring(const PathProgram& paths, DType compute, const Request& request, const Target& target) {
    if (target.platform != Platform::cpu) return Factoring::merged;
    const auto program = [&](Factoring factoring) { return derivative(factor(paths, factoring, request.order), request); };
    const EdgeProgram merged = program(Factoring::merged);
    if (!can_have_forms(merged, target)) return Factoring::merged;
    const LayerSplit forms = split_forms(program(Factoring::weights_first));
    const int lanes = lanes_of(target, size_of(compute));
    const std::int64_t with = vector_operations(forms.before, lanes) + vector_operations(forms.main, lanes), without = vector_operations(merged, lanes);
    const bool pays = 9 * with < 7 * without;
    return pays && !forms.tiles.empty() ? Factoring::weights_first : Factoring::merged;
}

}  // namespace flashtp
