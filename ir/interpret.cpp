#include "ir/interpret.hpp"

#include <algorithm>
#include <random>
#include <utility>

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

/// The rows that a launch does: of a window those with edges in it.
std::pair<std::int64_t, std::int64_t> rows_of_window(const Kernel& kernel, const InterpreterArguments& arguments) {
    if (arguments.edge_end < 0) return {0, arguments.rows};
    if (!kernel.receiver_rows) return {arguments.edge_begin, std::min(arguments.rows, arguments.edge_end)};
    std::size_t number = 0;
    for (const Buffer& buffer : kernel.buffers) {
        if (buffer.name == "row_ptr") break;
        number += buffer.kind != BufferKind::table;
    }
    const auto* ends = static_cast<const std::int32_t*>(arguments.buffers[number].data) + 1;
    const auto receiver_of = [&](std::int64_t edge) { return std::upper_bound(ends, ends + arguments.rows, edge) - ends; };
    const std::int64_t first = receiver_of(arguments.edge_begin);
    return {first, std::max(first, std::min(arguments.rows, receiver_of(arguments.edge_end - 1) + 1))};
}

/// On a GPU (task, chunk, warp) run in no order and are told apart as writers; on a CPU one thread runs all tasks of its rows.
std::vector<Work> work_of(const Kernel& kernel, const std::vector<Plan>& plans, const InterpreterArguments& arguments, std::int64_t rows_at_once) {
    std::vector<Work> all;
    std::uint32_t writer = 0;
    const std::int64_t edge_end = arguments.edge_end < 0 ? INT64_MAX : arguments.edge_end;
    const auto [first_row, last] = rows_of_window(kernel, arguments);
    for (std::int64_t begin = first_row; begin < last; begin += rows_at_once) {
        const std::int64_t end = std::min(last, begin + rows_at_once);
        for (std::size_t t = 0; t < plans.size(); ++t) {
            const bool unordered = kernel.target.platform != Platform::cpu;
            for (std::int64_t chunk = 0; chunk < plans[t].task->chunks; ++chunk) {
                for (int part = 0; part < arguments.parts; ++part) {
                    const std::int64_t first = part * arguments.part_edges;
                    const bool rest = part + 1 == arguments.parts;
                    all.push_back({t, {chunk, begin, end, begin / rows_at_once, first, rest ? INT64_MAX : first + arguments.part_edges,
                                       arguments.parts > 1, arguments.edge_begin, edge_end, writer}});
                    writer += unordered;
                }
            }
        }
        ++writer;
    }
    return all;
}

template <class T>
void run_rows(const Kernel& kernel, const std::vector<Plan>& plans, const InterpreterArguments& arguments, std::int64_t rows_at_once,
              GlobalMemory& global) {
    std::vector<Warp<T>> warps;
    for (const Plan& plan : plans) warps.emplace_back(plan, global);
    std::vector<Work> all = work_of(kernel, plans, arguments, rows_at_once);
    if (kernel.target.platform != Platform::cpu && arguments.shuffled) std::ranges::shuffle(all, std::mt19937_64(arguments.shuffled));
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
    if (!kernel.windows && (arguments.edge_begin != 0 || arguments.edge_end >= 0)) internal_error("kernel {} runs all edges", kernel.name);
    verify(kernel);
    std::vector<Plan> plans;
    for (const KernelTask& task : kernel.tasks) plans.push_back(interpreter::make_plan(kernel, task));
    GlobalMemory global(kernel, arguments);
    const std::int64_t rows = rows_at_once(kernel, arguments);
    if (kernel.compute == DType::float32)
        run_rows<float>(kernel, plans, arguments, rows, global);
    else
        run_rows<double>(kernel, plans, arguments, rows, global);
    if (arguments.complete_outputs) global.check_complete();
}

}  // namespace flashtp
