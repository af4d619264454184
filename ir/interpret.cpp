#include "ir/interpret.hpp"

#include <algorithm>
#include <random>

#include "ir/error.hpp"
#include "ir/interpret_warp.hpp"

namespace flashtp {
namespace {

using interpreter::GlobalMemory;
using interpreter::Plan;
using interpreter::Warp;
using interpreter::WarpRange;

/// What a warp of a GPU does; on a CPU, a task for the rows of a call.
struct Work {
    std::size_t task;
    WarpRange range;
};

/// On a GPU (task, chunk, warp) run in no order and are told apart as writers; on a CPU one thread runs all tasks of its rows.
std::vector<Work> work_of(const std::vector<Plan>& plans, const InterpreterArguments& arguments, std::int64_t rows_at_once) {
    std::vector<Work> all;
    std::uint32_t writer = 0;
    for (std::int64_t begin = 0; begin < arguments.rows; begin += rows_at_once) {
        const std::int64_t end = std::min(arguments.rows, begin + rows_at_once);
        for (std::size_t t = 0; t < plans.size(); ++t) {
            const bool unordered = plans[t].kernel->target.platform != Platform::cpu;
            for (std::int64_t chunk = 0; chunk < plans[t].task->chunks; ++chunk) {
                for (int part = 0; part < arguments.parts; ++part) {
                    const std::int64_t first = part * arguments.part_edges, last = first + arguments.part_edges;
                    const bool rest = part + 1 == arguments.parts;
                    all.push_back({t, {chunk, begin, end, begin / rows_at_once, first, rest ? INT64_MAX : last, arguments.parts > 1, writer}});
                    writer += unordered;
                }
            }
        }
        ++writer;
    }
    return all;
}

template <class T>
void run_rows(const std::vector<Plan>& plans, const InterpreterArguments& arguments, std::int64_t rows_at_once,
              GlobalMemory& global) {
    std::vector<Warp<T>> warps;
    for (const Plan& plan : plans) warps.emplace_back(plan, global);
    std::vector<Work> all = work_of(plans, arguments, rows_at_once);
    const bool unordered = !plans.empty() && plans.front().kernel->target.platform != Platform::cpu;
    if (unordered && arguments.shuffled) std::ranges::shuffle(all, std::mt19937_64(arguments.shuffled));
    for (const Work& work : all) warps[work.task].run(work.range);
}

std::int64_t rows_at_once(const Kernel& kernel, const InterpreterArguments& arguments) {
    if (arguments.rows_per_warp > 0) return arguments.rows_per_warp;
    const bool cpu = kernel.target.platform == Platform::cpu;
    return std::max<std::int64_t>(1, cpu ? arguments.rows : kernel.rows_per_warp);
}

}  // namespace

void interpret(const Kernel& kernel, const InterpreterArguments& arguments) {
    const bool splits = kernel.receiver_rows && kernel.target.platform == Platform::cuda;
    if (arguments.parts != 1 && !splits) internal_error("kernel {}: only receivers on a GPU are split", kernel.name);
    verify(kernel);
    std::vector<Plan> plans;
    for (const KernelTask& task : kernel.tasks) plans.push_back(interpreter::make_plan(kernel, task));
    GlobalMemory global(kernel, arguments);
    const std::int64_t rows = rows_at_once(kernel, arguments);
    if (kernel.compute == DType::float32)
        run_rows<float>(plans, arguments, rows, global);
    else
        run_rows<double>(plans, arguments, rows, global);
    if (arguments.complete_outputs) global.check_complete();
}

}  // namespace flashtp
