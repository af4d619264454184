#include "compiler/pipeline.hpp"

#include "compiler/derivative.hpp"
#include "compiler/expand_paths.hpp"
#include "compiler/lower.hpp"
#include "ir/error.hpp"

namespace flashtp {

namespace {

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

}  // namespace

Lowered lower(const Problem& problem, const Request& request, const Target& target, const LoweringOptions& options, Trace& trace) {
    validate(request);
    Lowered result;
    result.paths = trace("expand paths", expand_paths(problem));
    const EdgeProgram forward = trace("factor", factor(result.paths, options.factoring.value_or(Factoring::products)));
    result.edge = trace("derivative", derivative(forward, request));
    const ScheduleKnobs knobs = options.knobs.value_or(default_knobs(target, request, problem.dtype));
    result.schedule = options.schedule ? *options.schedule
                                       : choose_schedule(result.paths, result.edge, target, problem.dtype, knobs, options.general);
    const KernelInfo info = describe(problem, request, result.paths, result.schedule);
    result.kernels.push_back(trace("lower", lower_to_kernel(result.edge, result.schedule, target, info)));
    return result;
}

}  // namespace flashtp
