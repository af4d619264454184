#include "compiler/pipeline.hpp"

#include <algorithm>

#include "compiler/check_schedule.hpp"
#include "compiler/choose_factoring.hpp"
#include "compiler/cut_program.hpp"
#include "compiler/derivative.hpp"
#include "compiler/expand_paths.hpp"
#include "compiler/lower.hpp"
#include "compiler/lower_edge_products.hpp"
#include "compiler/lower_products.hpp"
#include "compiler/place_registers.hpp"
#include "compiler/split_forms.hpp"
#include "compiler/unroll_paths.hpp"
#include "compiler/verified.hpp"
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

/// The kernels of one request, in the order in which they run.
class KernelMaker {
  public:
    KernelMaker(const CutProgram& cut, const Problem& problem, const Target& target, const KernelInfo& info)
        : cut_(cut), strict_(problem.strict), target_(target), info_(info) {}

    std::vector<Kernel> run(const Schedule& schedule) {
        const bool around = cut_.weights == Weights::between_kernels;
        if (cut_.weights == Weights::where_used && !cut_.split.before.statements.empty()) make_forms(schedule);
        if (around && !cut_.split.before.statements.empty()) make_weights(schedule);
        const TileTerm* within = cut_.weights == Weights::within_warps ? &cut_.terms.front() : nullptr;
        for (Kernel& kernel : lower_to_kernels(cut_.split.main, schedule, target_, info_, within)) add(std::move(kernel));
        if (around && !cut_.split.after.statements.empty()) take_gradients(schedule);
        return std::move(kernels_);
    }

  private:
    void add_as_is(Kernel kernel) {
        kernel = verified(std::move(kernel));
        kernels_.push_back(strict_ ? verified(without_contraction(std::move(kernel))) : std::move(kernel));
    }
    void add(Kernel kernel) {
        add_as_is(std::move(kernel));
        if (target_.platform == Platform::cpu) kernels_.back() = verified(place_registers(std::move(kernels_.back())));
    }
    void make_weights(const Schedule& schedule) {
        if (target_.platform == Platform::cpu) return add_as_is(products(cut_.split.before, schedule, "_weights"));
        add(lower_tile_products(cut_.split.before, cut_.terms, target_, info_));
    }
    void make_forms(const Schedule& schedule) {
        KernelInfo info = info_;
        info.name += "_forms";
        Schedule alone = schedule;
        alone.tasks = {Task{}};
        alone.tasks[0].loops = {{LoopKind::receiver}, {LoopKind::edge}};
        for (Kernel& kernel : lower_to_kernels(cut_.split.before, alone, target_, info)) add(in_lanes(std::move(kernel)));
    }
    void take_gradients(const Schedule& schedule) {
        if (target_.platform == Platform::cpu) return add_as_is(products(cut_.split.after, schedule, "_layer"));
        for (Kernel& kernel : lower_returned_products(cut_.split.after, cut_.terms, target_, info_)) add(std::move(kernel));
    }
    /// Blocks of products fill the registers to the last one: nothing of them goes to memory.
    Kernel products(const EdgeProgram& part, const Schedule& schedule, const char* suffix) const {
        KernelInfo info = info_;
        info.name += suffix;
        return lower_products(part, schedule, target_, info, cut_.split.main.is_convolution());
    }

    const CutProgram& cut_;
    bool strict_;
    const Target& target_;
    const KernelInfo& info_;
    std::vector<Kernel> kernels_;
};

/// Every GPU and AArch64 converts float16; of x86-64, what has F16C.
void check_storage(const Problem& problem, const Target& target) {
    const bool converts = target.platform == Platform::cuda || target.triple.starts_with("aarch64") || std::ranges::count(target.features, "+f16c") > 0;
    if (converts) return;
    for (const auto& [key, storage] : {std::pair("dtype_in2", problem.dtype_in2), std::pair("dtype_weights", problem.dtype_weights)})
        if (storage == DType::float16) user_error("{}: {} cannot convert float16 (F16C); bfloat16 works everywhere", key, target.name);
}

/// The passes in order, for one request.
class Pipeline {
  public:
    Pipeline(const Problem& problem, const Request& request, const Target& target, const LoweringOptions& options)
        : problem_(problem), request_(request), target_(target), options_(options) {}

    Lowered run() {
        result_.paths = verified(expand_paths(problem_));
        if (target_.platform == Platform::cuda && !problem_.convolution && !options_.general) result_.paths = verified(unroll_paths(result_.paths));
        factoring_ = factoring();
        const EdgeProgram forward = verified(factor(result_.paths, factoring_, request_.order));
        result_.edge = verified(derivative(forward, request_));
        const std::vector<CutProgram> ways = ways_to_cut(result_.edge, problem_, target_, options_);
        if (options_.schedule) take_schedule(ways.front());
        else if (!std::ranges::any_of(ways, [&](const CutProgram& way) { return find_schedule(way); }))
            internal_error("no schedule fits the shared memory of {}\n{}", target_.name, to_string(result_.schedule));
        return std::move(result_);
    }

  private:
    Factoring factoring() const {
        if (options_.schedule) return parse_factoring(options_.schedule->factoring);
        if (options_.factoring) return *options_.factoring;
        return options_.general ? Factoring::merged : choose_factoring(result_.paths, problem_.dtype, request_, target_);
    }

    void take_schedule(const CutProgram& way) {
        check_schedule(*options_.schedule, way.split.main, target_.platform);
        result_.schedule = *options_.schedule;
        result_.schedule.deterministic |= problem_.deterministic;
        accept(way, kernels_of(way));
        if (problem_.deterministic && adds_in_any_order(result_.kernels))
            user_error("deterministic: {} adds to rows that tasks share, in no fixed order, with this schedule", result_.kernels[0].name);
        for (const Kernel& kernel : result_.kernels)
            if (!fits(kernel))
                user_error("the schedule needs {} bytes of shared memory a block; {} has {}", shared_bytes(kernel), target_.name,
                           target_.shared_bytes_per_block);
    }

    /// Whether there is a schedule for this way. It is chosen before its shared memory is known: where it does not fit, the next one
    /// needs less.
    bool find_schedule(const CutProgram& way) {
        const ScheduleKnobs knobs = options_.knobs.value_or(default_knobs(target_, request_, problem_.dtype));
        for (std::optional<ScheduleKnobs> now = knobs_for(way, target_, knobs); now; now = with_less_shared_memory(*now)) {
            result_.schedule = choose_schedule(result_.paths, way.split.main, target_, problem_.dtype, *now,
                                               {options_.general, problem_.deterministic});
            result_.schedule.factoring = to_string(factoring_);
            if (way.weights == Weights::within_warps && !fits_warps(result_.schedule)) return false;
            std::vector<Kernel> kernels = kernels_of(way);
            if (problem_.deterministic && adds_in_any_order(kernels)) return false;
            if (!std::ranges::all_of(kernels, fits)) continue;
            accept(way, std::move(kernels));
            return true;
        }
        return false;
    }

    std::vector<Kernel> kernels_of(const CutProgram& way) const {
        const KernelInfo info = describe(problem_, request_, result_.paths, result_.schedule);
        return KernelMaker(way, problem_, target_, info).run(result_.schedule);
    }

    void accept(const CutProgram& way, std::vector<Kernel> kernels) {
        result_.kernels = std::move(kernels);
        result_.tiles = target_.platform == Platform::cpu ? way.split.tiles : operands_between(result_.kernels, result_.edge);
    }

    const Problem& problem_;
    const Request& request_;
    const Target& target_;
    const LoweringOptions& options_;
    Factoring factoring_ = Factoring::merged;
    Lowered result_;
};

}  // namespace

std::vector<Operand> operands_and_tiles(const Lowered& lowered) {
    std::vector<Operand> all = lowered.edge.operands;
    all.insert(all.end(), lowered.tiles.begin(), lowered.tiles.end());
    return all;
}

Lowered lower(const Problem& problem, const Request& request, const Target& target, const LoweringOptions& options) {
    validate(request);
    if (problem.strict && target.platform != Platform::cpu) user_error("strict: kernels for {} fuse multiply-adds; use a CPU", target.name);
    check_storage(problem, target);
    return Pipeline(problem, request, target, options).run();
}

}  // namespace flashtp
