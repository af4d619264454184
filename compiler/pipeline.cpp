#include "compiler/pipeline.hpp"

#include <algorithm>

#include "compiler/derivative.hpp"
#include "compiler/expand_paths.hpp"
#include "compiler/lower.hpp"
#include "compiler/lower_products.hpp"
#include "compiler/split_layer.hpp"
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
void refuse_unordered_additions(const Kernel& kernel) {
    if (kernel.target.platform == Platform::cpu) return;
    for (const Buffer& buffer : kernel.buffers)
        if (buffer.shared_rows)
            user_error("deterministic: {} adds to {} in no fixed order on {}; leave the option out, ask for other outputs, or use a CPU",
                       kernel.name, buffer.name, kernel.target.name);
}

/// All of it, or what lies between the products of a layer whose weights have a tile.
LayerSplit parts_of(const EdgeProgram& program, const Target& target, const LoweringOptions& options, const ScheduleKnobs& knobs) {
    const bool tiled = options.schedule ? options.schedule->tile_edges > 0 : knobs.tile_bytes > 0 && !options.general;
    if (!tiled || !has_layer(program)) return {{}, program, {}, {}};
    if (target.platform != Platform::cpu) user_error("schedule: tile_edges: weights have tiles on CPUs only, not on {}", target.name);
    return split_layer(program);
}

class KernelMaker {
  public:
    KernelMaker(const LayerSplit& parts, const Target& target, const KernelInfo& info, Trace& trace)
        : parts_(parts), target_(target), info_(info), trace_(trace) {}

    std::vector<Kernel> run(const Schedule& schedule) const {
        std::vector<Kernel> kernels;
        if (!parts_.before.statements.empty()) kernels.push_back(products(parts_.before, schedule, "_weights"));
        for (Kernel& kernel : lower_to_kernels(parts_.main, schedule, target_, info_)) kernels.push_back(trace_("lower", std::move(kernel)));
        if (!parts_.after.statements.empty()) kernels.push_back(products(parts_.after, schedule, "_layer"));
        return kernels;
    }

  private:
    Kernel products(const EdgeProgram& part, const Schedule& schedule, const char* suffix) const {
        KernelInfo info = info_;
        info.name += suffix;
        return trace_("lower", lower_products(part, schedule, target_, info, parts_.main.is_convolution()));
    }

    const LayerSplit& parts_;
    const Target& target_;
    const KernelInfo& info_;
    Trace& trace_;
};

}  // namespace

std::vector<Operand> operands_and_tiles(const Lowered& lowered) {
    std::vector<Operand> all = lowered.edge.operands;
    all.insert(all.end(), lowered.tiles.begin(), lowered.tiles.end());
    return all;
}

Lowered lower(const Problem& problem, const Request& request, const Target& target, const LoweringOptions& options, Trace& trace) {
    validate(request);
    Lowered result;
    result.paths = trace("expand paths", expand_paths(problem));
    const Factoring factoring = options.schedule ? parse_factoring(options.schedule->factoring)
                                                 : options.factoring.value_or(Factoring::merged);
    const EdgeProgram forward = trace("factor", factor(result.paths, factoring, false, request.order));
    result.edge = trace("derivative", derivative(forward, request));
    std::optional<ScheduleKnobs> knobs = options.knobs.value_or(default_knobs(target, request, problem.dtype));
    LayerSplit parts = parts_of(result.edge, target, options, *knobs);
    const auto kernels_of = [&](const Schedule& schedule) {
        return KernelMaker(parts, target, describe(problem, request, result.paths, schedule), trace).run(schedule);
    };
    const auto accept = [&](std::vector<Kernel> kernels) {
        for (const Kernel& kernel : kernels)
            if (problem.deterministic) refuse_unordered_additions(kernel);
        result.kernels = std::move(kernels);
        result.tiles = std::move(parts.tiles);
    };
    if (options.schedule) {
        result.schedule = *options.schedule;
        result.schedule.deterministic |= problem.deterministic;
        accept(kernels_of(result.schedule));
        for (const Kernel& kernel : result.kernels)
            if (!fits(kernel))
                user_error("the schedule needs {} bytes of shared memory a block; {} has {}", shared_bytes(kernel), target.name,
                           target.shared_bytes_per_block);
        return result;
    }
    // A schedule is chosen before its shared memory is known: when it does not fit, the next one needs less.
    for (; knobs; knobs = with_less_shared_memory(*knobs)) {
        result.schedule = choose_schedule(result.paths, parts.main, target, problem.dtype, *knobs,
                                          {options.general, problem.deterministic});
        result.schedule.factoring = to_string(factoring);
        std::vector<Kernel> kernels = kernels_of(result.schedule);
        if (!std::ranges::all_of(kernels, fits)) continue;
        accept(std::move(kernels));
        return result;
    }
    internal_error("no schedule fits the shared memory of {}\n{}", target.name, to_string(result.schedule));
}

}  // namespace flashtp
