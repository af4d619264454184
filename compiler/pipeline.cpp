#include "compiler/pipeline.hpp"

#include <algorithm>

#include "compiler/derivative.hpp"
#include "compiler/expand_paths.hpp"
#include "compiler/lower.hpp"
#include "compiler/lower_products.hpp"
#include "compiler/place_registers.hpp"
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

/// A program whole, or cut at the weights of a layer that have a tile.
struct Parts {
    LayerSplit split;
    std::optional<std::vector<TileTerm>> terms = {};  ///< of a kernel that makes the tiles itself; else kernels before and after do
};

/// Whether the tasks of a GPU's kernel can make the program's weights: channels are the only axis of all values, so that there is a ring.
bool makes_tiles(const EdgeProgram& main, const Target& target, DType dtype) {
    const bool channels = std::ranges::all_of(main.values, [&](const Value& v) {
        if (!v.binding) return true;
        const View& view = v.binding->view;
        const bool weight = main.operands[v.binding->operand].tile;
        return v.extents.size() <= 1 && !view.pair && (!weight || (v.extents.size() == 1 && view.axes[0].stride == 1));
    });
    return channels && main.is_convolution() && dtype == DType::float32 && target.copy != CopyMechanism::plain &&
           target.compute_capability >= least_capability_of_products;
}

bool makes_tiles(const Schedule& schedule) {
    const std::vector<Loop> loops = {{LoopKind::chunk}, {LoopKind::receiver}, {LoopKind::edge}};
    return schedule.ring.stages > 0 && std::ranges::all_of(schedule.tasks, [&](const Task& task) { return task.loops == loops; });
}

/// Ways to cut the program, the best one first.
std::vector<Parts> parts_of(const EdgeProgram& program, const Target& target, DType dtype, const LoweringOptions& options) {
    const bool tiled = options.schedule ? options.schedule->tile_edges > 0 : !options.general;
    const Parts whole{{{}, program, {}, {}}};
    if (!tiled || !has_layer(program)) return {whole};
    Parts cut{split_layer(program)};
    if (target.platform == Platform::cpu) return {std::move(cut)};
    if (makes_tiles(cut.split.main, target, dtype)) cut.terms = tile_terms(cut.split);
    if (cut.terms && options.schedule && !makes_tiles(*options.schedule)) cut.terms.reset();
    if (!cut.terms && options.schedule) user_error("schedule: tile_edges: no kernel for {} can make these weights in tiles", target.name);
    if (!cut.terms) return {whole};
    return {std::move(cut), whole};
}

class KernelMaker {
  public:
    KernelMaker(const Parts& parts, const Target& target, const KernelInfo& info, Trace& trace)
        : parts_(parts.split), terms_(parts.terms ? &*parts.terms : nullptr), target_(target), info_(info), trace_(trace) {}

    std::vector<Kernel> run(const Schedule& schedule) const {
        std::vector<Kernel> kernels;
        if (!terms_ && !parts_.before.statements.empty()) kernels.push_back(products(parts_.before, schedule, "_weights"));
        for (Kernel& kernel : lower_to_kernels(parts_.main, schedule, target_, info_, terms_)) kernels.push_back(trace_("lower", std::move(kernel)));
        if (!terms_ && !parts_.after.statements.empty()) kernels.push_back(products(parts_.after, schedule, "_layer"));
        return kernels;
    }

  private:
    Kernel products(const EdgeProgram& part, const Schedule& schedule, const char* suffix) const {
        KernelInfo info = info_;
        info.name += suffix;
        return trace_("lower", lower_products(part, schedule, target_, info, parts_.main.is_convolution()));
    }

    const LayerSplit& parts_;
    const std::vector<TileTerm>* terms_;
    const Target& target_;
    const KernelInfo& info_;
    Trace& trace_;
};

/// Every GPU and AArch64 converts float16; of x86-64, what has F16C.
void check_storage(const Problem& problem, const Target& target) {
    const bool converts = target.platform == Platform::cuda || target.triple.starts_with("aarch64") || std::ranges::count(target.features, "+f16c") > 0;
    if (converts) return;
    for (const auto& [key, storage] : {std::pair("dtype_in2", problem.dtype_in2), std::pair("dtype_weights", problem.dtype_weights)})
        if (storage == DType::float16) user_error("{}: {} cannot convert float16 (F16C); bfloat16 works everywhere", key, target.name);
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
                                                 : options.factoring.value_or(Factoring::merged);
    const EdgeProgram forward = trace("factor", factor(result.paths, factoring, false, request.order));
    result.edge = trace("derivative", derivative(forward, request));
    const ScheduleKnobs knobs = options.knobs.value_or(default_knobs(target, request, problem.dtype));
    const auto kernels_of = [&](const Parts& parts, const Schedule& schedule) {
        return KernelMaker(parts, target, describe(problem, request, result.paths, schedule), trace).run(schedule);
    };
    const auto accept = [&](Parts parts, std::vector<Kernel> kernels) {
        for (Kernel& kernel : kernels) {
            if (problem.strict) kernel = trace("without contraction", without_contraction(std::move(kernel)));
            if (target.platform == Platform::cpu) kernel = trace("place registers", place_registers(std::move(kernel)));
        }
        result.kernels = std::move(kernels);
        if (!parts.terms) result.tiles = std::move(parts.split.tiles);
        if (target.platform != Platform::cpu) result.tiles = operands_between(result.kernels, result.edge);
    };
    for (const Parts& parts : parts_of(result.edge, target, problem.dtype, options)) {
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
        for (std::optional<ScheduleKnobs> now = parts.terms ? tile_knobs(knobs, request.order) : knobs; now; now = with_less_shared_memory(*now)) {
            result.schedule = choose_schedule(result.paths, parts.split.main, target, problem.dtype, *now,
                                              {options.general, problem.deterministic});
            result.schedule.factoring = to_string(factoring);
            if (parts.terms && !makes_tiles(result.schedule)) break;
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
