#include "compiler/pipeline.hpp"

#include <algorithm>

#include "compiler/derivative.hpp"
#include "compiler/expand_paths.hpp"
#include "compiler/lower.hpp"
#include "compiler/lower_edge_products.hpp"
#include "compiler/lower_products.hpp"
#include "compiler/place_registers.hpp"
#include "compiler/split_forms.hpp"
#include "compiler/split_layer.hpp"
#include "compiler/tile_products.hpp"
#include "compiler/without_contraction.hpp"
#include "ir/error.hpp"

namespace flashtp {

namespace {

bool fits(const Kernel& kernel) {
    return kernel.target.platform == Platform::cpu || shared_bytes(kernel) <= kernel.target.shared_bytes_per_block;
}

KernelInfo describe(const Problem& problem, const Request& request, const PathProgram& paths, const Schedule& schedule) {
    KernelInfo info;
    // Not the problem's name: equal layers share one cache entry.
    info.name = fmt::format("flashtp_order{}", request.order);
    info.header = {fmt::format("{} x {} -> {}", to_string(problem.irreps_in1), to_string(problem.irreps_in2),
                               to_string(problem.irreps_out)),
                   fmt::format("{}, {} paths, {}, {} weights", problem.convolution ? "convolution" : "batch", paths.paths.size(),
                               to_string(problem.dtype), problem.shared_weights ? "shared" : "per-edge"),
                   to_string(request), schedule.reason};
    for (const Path& path : paths.paths) info.path_names.push_back(path.name);
    info.dtype = info.compute = problem.dtype;
    return info;
}

// Warps of a GPU add to rows they share in whatever order they run; on a CPU the runtime orders the threads' private sums.
bool adds_in_any_order(const std::vector<Kernel>& kernels) {
    return std::ranges::any_of(kernels, [](const Kernel& kernel) {
        return kernel.target.platform != Platform::cpu && std::ranges::any_of(kernel.buffers, &Buffer::shared_rows);
    });
}

/// What kernels hand each other besides operands of the program: parts of sums.
std::vector<Operand> operands_between(const std::vector<Kernel>& kernels, const EdgeProgram& program) {
    std::vector<Operand> between;
    for (const Kernel& kernel : kernels)
        for (const Buffer& buffer : kernel.buffers) {
            if (!buffer.operand || program.find_operand(buffer.name) >= 0) continue;
            if (std::ranges::find(between, buffer.name, &Operand::name) == between.end()) between.push_back(*buffer.operand);
        }
    for (Operand& operand : between) operand.role = Role::input, operand.tile = true;
    return between;
}

/// Who makes the weights of a layer, and where they are: each is used where it is made; or kernels in front make those of many edges at
/// a time, and kernels behind take their gradients; or the convolution's own warps make those of a few, which nobody else wants.
enum class Weights { where_used, between_kernels, within_warps };

/// A program whole, or cut at the weights of a layer.
struct Parts {
    Weights weights = Weights::where_used;
    LayerSplit split;
    std::vector<TileTerm> terms = {};  ///< on GPUs
};

/// Whether a warp can make weights of its tasks, and that is all there is to do: channels are the only axis of all values, so that there
/// is a ring.
bool fits_warps(const Parts& parts, const Target& target) {
    const EdgeProgram& main = parts.split.main;
    const bool channels = std::ranges::all_of(main.values, [&](const Value& v) {
        if (!v.binding) return true;
        const View& view = v.binding->view;
        const bool weight = main.operands[v.binding->operand].tile;
        return v.extents.size() <= 1 && !view.pair && (!weight || (v.extents.size() == 1 && view.axes[0].stride == 1));
    });
    return channels && target.copy != CopyMechanism::plain && parts.terms.size() == 1 && parts.terms.front().result == TileTerm::weights;
}

bool fits_warps(const Schedule& schedule) {
    const std::vector<Loop> loops = {{LoopKind::chunk}, {LoopKind::receiver}, {LoopKind::edge}};
    return schedule.ring.stages > 0 && std::ranges::all_of(schedule.tasks, [&](const Task& task) { return task.loops == loops; });
}

/// Ways to make the weights on a GPU by tensor cores, the best one first. Gradients are added up in no fixed order.
std::vector<Parts> ways_on_gpu(const Parts& cut, const Problem& problem, const Target& target, const LoweringOptions& options) {
    const bool products = problem.dtype == DType::float32 && target.compute_capability >= least_capability_of_products;
    const std::optional<std::vector<TileTerm>> terms = tile_terms(cut.split);
    if (!products || !terms || !cut.split.main.is_convolution()) return {};
    Parts within{Weights::within_warps, cut.split, *terms}, between{Weights::between_kernels, cut.split, *terms};
    const int wanted = options.schedule ? options.schedule->tile_edges : options.knobs ? options.knobs->tile_edges : 0;
    const bool fits = fits_warps(within, target) && wanted <= most_edges_of_a_warp && (!options.schedule || fits_warps(*options.schedule));
    const bool any_between = !problem.deterministic && (wanted == 0 || wanted > most_edges_of_a_warp);
    std::vector<Parts> ways;
    if (fits) ways.push_back(std::move(within));
    if (any_between) ways.push_back(std::move(between));
    return ways;
}

/// Whether a kernel in front can make what belongs to edges alone.
bool can_have_forms(const EdgeProgram& program, const Target& target) {
    return target.platform == Platform::cpu && program.is_convolution() && !has_layer(program);
}

std::vector<Parts> ways_to_weights(const EdgeProgram& program, const Problem& problem, const Target& target, const LoweringOptions& options) {
    const bool tiled = options.schedule ? options.schedule->tile_edges > 0 : !options.general;
    const Parts whole{Weights::where_used, {{}, program, {}, {}}};
    if (tiled && can_have_forms(program, target)) return {{Weights::where_used, split_forms(program)}};
    if (!tiled || !has_layer(program)) return {whole};
    Parts cut{Weights::between_kernels, split_layer(program)};
    if (target.platform == Platform::cpu) {
        if (options.schedule && kernel_count(*options.schedule) > 1) user_error("schedule: on CPUs with tile_edges, all tasks are of kernel 0");
        return {std::move(cut)};
    }
    std::vector<Parts> ways = ways_on_gpu(cut, problem, target, options);
    if (ways.empty() && options.schedule) user_error("schedule: tile_edges: no kernel for {} can make these weights in tiles", target.name);
    if (!options.schedule) ways.push_back(whole);
    return ways;
}

class KernelMaker {
  public:
    KernelMaker(const Parts& parts, const Target& target, const KernelInfo& info, Trace& trace)
        : parts_(parts), target_(target), info_(info), trace_(trace) {}

    std::vector<Kernel> run(const Schedule& schedule) {
        const bool around = parts_.weights == Weights::between_kernels;
        if (parts_.weights == Weights::where_used && !parts_.split.before.statements.empty()) make_forms(schedule);
        if (around && !parts_.split.before.statements.empty()) make_weights(schedule);
        const TileTerm* within = parts_.weights == Weights::within_warps ? &parts_.terms.front() : nullptr;
        for (Kernel& kernel : lower_to_kernels(parts_.split.main, schedule, target_, info_, within)) add(std::move(kernel));
        if (around && !parts_.split.after.statements.empty()) take_gradients(schedule);
        return std::move(kernels_);
    }

  private:
    void add(Kernel kernel) { kernels_.push_back(trace_("lower", std::move(kernel))); }
    void make_weights(const Schedule& schedule) {
        if (target_.platform == Platform::cpu) return add(products(parts_.split.before, schedule, "_weights"));
        add(lower_tile_products(parts_.split.before, parts_.terms, target_, info_));
    }
    void make_forms(const Schedule& schedule) {
        KernelInfo info = info_;
        info.name += "_forms";
        Schedule alone = schedule;
        alone.tasks = {Task{}};
        alone.tasks[0].loops = {{LoopKind::receiver}, {LoopKind::edge}};
        for (Kernel& kernel : lower_to_kernels(parts_.split.before, alone, target_, info)) add(in_lanes(std::move(kernel)));
    }
    void take_gradients(const Schedule& schedule) {
        if (target_.platform == Platform::cpu) return add(products(parts_.split.after, schedule, "_layer"));
        for (Kernel& kernel : lower_returned_products(parts_.split.after, parts_.terms, target_, info_)) add(std::move(kernel));
    }
    Kernel products(const EdgeProgram& part, const Schedule& schedule, const char* suffix) const {
        KernelInfo info = info_;
        info.name += suffix;
        return lower_products(part, schedule, target_, info, parts_.split.main.is_convolution());
    }

    const Parts& parts_;
    const Target& target_;
    const KernelInfo& info_;
    Trace& trace_;
    std::vector<Kernel> kernels_;
};

/// Every GPU and AArch64 converts float16; of x86-64, what has F16C.
void check_storage(const Problem& problem, const Target& target) {
    const bool converts = target.platform == Platform::cuda || target.triple.starts_with("aarch64") || std::ranges::count(target.features, "+f16c") > 0;
    if (converts) return;
    for (const auto& [key, storage] : {std::pair("dtype_in2", problem.dtype_in2), std::pair("dtype_weights", problem.dtype_weights)})
        if (storage == DType::float16) user_error("{}: {} cannot convert float16 (F16C); bfloat16 works everywhere", key, target.name);
}

/// Tiles of a convolution that take memory of their own: gradients of weights lie where the weights were.
std::vector<Operand> tiles_in_memory(const EdgeProgram& convolution) {
    std::vector<Operand> given, stored;
    for (const Operand& operand : convolution.operands)
        if (operand.tile) (operand.role == Role::input ? given : stored).push_back(operand);
    return given.size() >= stored.size() ? given : stored;
}

/// Knobs of the convolution in a cut program.
ScheduleKnobs knobs_for(const Parts& parts, const Target& target, const ScheduleKnobs& knobs) {
    if (parts.weights == Weights::where_used) return reads_forms(parts.split.main) ? form_knobs(knobs) : knobs;
    if (target.platform == Platform::cpu) return knobs;
    return parts.weights == Weights::within_warps ? tile_knobs(knobs) : window_knobs(knobs, tiles_in_memory(parts.split.main));
}

/// Vector instructions of an edge: what belongs to all channels takes one lane of them.
std::int64_t vector_operations(const EdgeProgram& program, int lanes) {
    const OperationCount count = count_operations(program);
    return count.channel / lanes + count.once;
}

/// Forms that a kernel in front makes once an edge leave fewer multiply-adds to the channels, but take a load each: that was faster up to
/// 0.776 of the operations and slower from 0.793 on (docs/performance.md).
Factoring best_factoring(const PathProgram& paths, DType dtype, const Request& request, const Target& target, const LoweringOptions& options) {
    if (target.platform != Platform::cpu || options.general) return Factoring::merged;
    const auto program = [&](Factoring factoring) { return derivative(factor(paths, factoring, false, request.order), request); };
    const EdgeProgram merged = program(Factoring::merged);
    if (!can_have_forms(merged, target)) return Factoring::merged;
    const LayerSplit forms = split_forms(program(Factoring::weights_first));
    const int lanes = lanes_of(target, size_of(dtype));
    const std::int64_t with = vector_operations(forms.before, lanes) + vector_operations(forms.main, lanes), without = vector_operations(merged, lanes);
    const bool pays = 9 * with < 7 * without;
    return pays && !forms.tiles.empty() ? Factoring::weights_first : Factoring::merged;
}

}  // namespace

std::vector<Operand> operands_and_tiles(const Lowered& lowered) {
    std::vector<Operand> all = lowered.edge.operands;
    all.insert(all.end(), lowered.tiles.begin(), lowered.tiles.end());
    return all;
}

Lowered lower(const Problem& problem, const Request& request, const Target& target, const LoweringOptions& options, Trace& trace) {
    validate(request);
    if (problem.strict && target.platform != Platform::cpu) user_error("strict: kernels for {} fuse multiply-adds; use a CPU", target.name);
    check_storage(problem, target);
    Lowered result;
    result.paths = trace("expand paths", expand_paths(problem));
    const Factoring factoring = options.schedule ? parse_factoring(options.schedule->factoring)
                                                 : options.factoring.value_or(best_factoring(result.paths, problem.dtype, request, target, options));
    const EdgeProgram forward = trace("factor", factor(result.paths, factoring, false, request.order));
    result.edge = trace("derivative", derivative(forward, request));
    const ScheduleKnobs knobs = options.knobs.value_or(default_knobs(target, request, problem.dtype));
    const auto kernels_of = [&](const Parts& parts, const Schedule& schedule) {
        const KernelInfo info = describe(problem, request, result.paths, schedule);
        return KernelMaker(parts, target, info, trace).run(schedule);
    };
    const auto accept = [&](Parts parts, std::vector<Kernel> kernels) {
        for (Kernel& kernel : kernels) {
            if (problem.strict) kernel = trace("without contraction", without_contraction(std::move(kernel)));
            if (target.platform == Platform::cpu) kernel = trace("place registers", place_registers(std::move(kernel)));
        }
        result.kernels = std::move(kernels);
        result.tiles = target.platform == Platform::cpu ? std::move(parts.split.tiles) : operands_between(result.kernels, result.edge);
    };
    for (const Parts& parts : ways_to_weights(result.edge, problem, target, options)) {
        if (options.schedule) {
            result.schedule = *options.schedule;
            result.schedule.deterministic |= problem.deterministic;
            accept(parts, kernels_of(parts, result.schedule));
            if (problem.deterministic && adds_in_any_order(result.kernels))
                user_error("deterministic: {} adds to rows that tasks share, in no fixed order, with this schedule", result.kernels[0].name);
            for (const Kernel& kernel : result.kernels)
                if (!fits(kernel))
                    user_error("the schedule needs {} bytes of shared memory a block; {} has {}", shared_bytes(kernel), target.name,
                               target.shared_bytes_per_block);
            return result;
        }
        // A schedule is chosen before its shared memory is known: when it does not fit, the next one needs less.
        for (std::optional<ScheduleKnobs> now = knobs_for(parts, target, knobs); now; now = with_less_shared_memory(*now)) {
            result.schedule = choose_schedule(result.paths, parts.split.main, target, problem.dtype, *now,
                                              {options.general, problem.deterministic});
            result.schedule.factoring = to_string(factoring);
            if (parts.weights == Weights::within_warps && !fits_warps(result.schedule)) break;
            std::vector<Kernel> kernels = kernels_of(parts, result.schedule);
            if (problem.deterministic && adds_in_any_order(kernels)) break;
            if (!std::ranges::all_of(kernels, fits)) continue;
            accept(parts, std::move(kernels));
            return result;
        }
    }
    internal_error("no schedule fits the shared memory of {}\n{}", target.name, to_string(result.schedule));
}

}  // namespace flashtp
