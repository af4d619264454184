#include "compiler/cut_program.hpp"

#include <algorithm>
#include <optional>

#include "compiler/split_forms.hpp"
#include "ir/error.hpp"
#include "ir/kernel.hpp"

namespace flashtp {

namespace {

/// Whether a warp can make weights of its tasks, and that is all there is to do: channels are the only axis of all values, so that there
/// is a ring.
bool warps_can_make_weights(const CutProgram& cut, const Target& target) {
    const EdgeProgram& main = cut.split.main;
    const bool channels = std::ranges::all_of(main.values, [&](const Value& v) {
        if (!v.binding) return true;
        const View& view = v.binding->view;
        const bool weight = main.operands[v.binding->operand].tile;
        return v.extents.size() <= 1 && !view.pair && (!weight || (v.extents.size() == 1 && view.axes[0].stride == 1));
    });
    return channels && target.copy != CopyMechanism::plain && cut.terms.size() == 1 && cut.terms.front().result == TileTerm::weights;
}

/// Ways to make the weights on a GPU by tensor cores, the best one first. Gradients are added up in no fixed order.
std::vector<CutProgram> ways_on_gpu(const CutProgram& cut, const Problem& problem, const Target& target, const LoweringOptions& options) {
    const bool products = problem.dtype == DType::float32 && target.compute_capability >= least_capability_of_products;
    const std::optional<std::vector<TileTerm>> terms = tile_terms(cut.split);
    if (!products || !terms || !cut.split.main.is_convolution()) return {};
    CutProgram within{Weights::within_warps, cut.split, *terms}, between{Weights::between_kernels, cut.split, *terms};
    const int wanted = options.schedule ? options.schedule->tile_edges : options.knobs ? options.knobs->tile_edges : 0;
    const bool fits = warps_can_make_weights(within, target) && wanted <= most_edges_of_a_warp && (!options.schedule || fits_warps(*options.schedule));
    const bool any_between = !problem.deterministic && (wanted == 0 || wanted > most_edges_of_a_warp);
    std::vector<CutProgram> ways;
    if (fits) ways.push_back(std::move(within));
    if (any_between) ways.push_back(std::move(between));
    return ways;
}

/// Tiles of a convolution that take memory of their own: gradients of weights lie where the weights were.
std::vector<Operand> tiles_in_memory(const EdgeProgram& convolution) {
    std::vector<Operand> given, stored;
    for (const Operand& operand : convolution.operands)
        if (operand.tile) (operand.role == Role::input ? given : stored).push_back(operand);
    return given.size() >= stored.size() ? given : stored;
}

}  // namespace

bool fits_warps(const Schedule& schedule) {
    const std::vector<Loop> loops = {{LoopKind::chunk}, {LoopKind::receiver}, {LoopKind::edge}};
    return schedule.ring.stages > 0 && std::ranges::all_of(schedule.tasks, [&](const Task& task) { return task.loops == loops; });
}

bool can_have_forms(const EdgeProgram& program, const Target& target) {
    return target.platform == Platform::cpu && program.is_convolution() && !has_layer(program);
}

std::vector<CutProgram> ways_to_cut(const EdgeProgram& program, const Problem& problem, const Target& target, const LoweringOptions& options) {
    const bool tiled = options.schedule ? options.schedule->tile_edges > 0 : !options.general;
    const CutProgram whole{Weights::where_used, {{}, program, {}, {}}};
    if (tiled && can_have_forms(program, target)) return {{Weights::where_used, split_forms(program)}};
    if (!tiled || !has_layer(program)) return {whole};
    CutProgram cut{Weights::between_kernels, split_layer(program)};
    if (target.platform == Platform::cpu) {
        if (options.schedule && kernel_count(*options.schedule) > 1) user_error("schedule: on CPUs with tile_edges, all tasks are of kernel 0");
        return {std::move(cut)};
    }
    std::vector<CutProgram> ways = ways_on_gpu(cut, problem, target, options);
    if (ways.empty() && options.schedule) user_error("schedule: tile_edges: no kernel for {} can make these weights in tiles", target.name);
    if (!options.schedule) ways.push_back(whole);
    return ways;
}

ScheduleKnobs knobs_for(const CutProgram& cut, const Target& target, const ScheduleKnobs& knobs) {
    if (cut.weights == Weights::where_used) return reads_forms(cut.split.main) ? form_knobs(knobs) : knobs;
    if (target.platform == Platform::cpu) return knobs;
    return cut.weights == Weights::within_warps ? tile_knobs(knobs) : window_knobs(knobs, tiles_in_memory(cut.split.main));
}

}  // namespace flashtp
