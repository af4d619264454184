#include "compiler/pipeline.hpp"

#include "compiler/derivative.hpp"
#include "compiler/expand_paths.hpp"
#include "compiler/lower.hpp"
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

}  // namespace

Lowered lower(const Problem& problem, const Request& request, const Target& target, const LoweringOptions& options, Trace& trace) {
    validate(request);
    Lowered result;
    result.paths = trace("expand paths", expand_paths(problem));
    const Factoring factoring = options.schedule ? parse_factoring(options.schedule->factoring)
                                                 : options.factoring.value_or(Factoring::products);
    const EdgeProgram forward = trace("factor", factor(result.paths, factoring));
    result.edge = trace("derivative", derivative(forward, request));
    const auto kernel_of = [&](const Schedule& schedule) {
        return trace("lower", lower_to_kernel(result.edge, schedule, target, describe(problem, request, result.paths, schedule)));
    };
    const auto accept = [&](Kernel kernel) {
        if (problem.deterministic) refuse_unordered_additions(kernel);
        result.kernels.push_back(std::move(kernel));
    };
    if (options.schedule) {
        result.schedule = *options.schedule;
        result.schedule.deterministic |= problem.deterministic;
        accept(kernel_of(result.schedule));
        if (!fits(result.kernels.back()))
            user_error("the schedule needs {} bytes of shared memory a block; {} has {}", shared_bytes(result.kernels.back()), target.name,
                       target.shared_bytes_per_block);
        return result;
    }
    // A schedule is chosen before its shared memory is known: when it does not fit, the next one needs less.
    std::optional<ScheduleKnobs> knobs = options.knobs.value_or(default_knobs(target, request, problem.dtype));
    for (; knobs; knobs = with_less_shared_memory(*knobs)) {
        result.schedule = choose_schedule(result.paths, result.edge, target, problem.dtype, *knobs,
                                          {options.general, problem.deterministic});
        result.schedule.factoring = to_string(factoring);
        Kernel kernel = kernel_of(result.schedule);
        if (!fits(kernel)) continue;
        accept(std::move(kernel));
        return result;
    }
    internal_error("no schedule fits the shared memory of {}\n{}", target.name, to_string(result.schedule));
}

}  // namespace flashtp
