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

/// Rows, and the edges that are done of them.
struct Rows {
    std::int64_t begin, end, edge_begin, edge_end;
};

/// The receivers that have edges at positions [begin, end).
Rows rows_with_edges(const Kernel& kernel, const InterpreterArguments& arguments, std::int64_t begin, std::int64_t end) {
    std::size_t number = 0;
    for (const Buffer& buffer : kernel.buffers) {
        if (buffer.name == "row_ptr") break;
        number += buffer.kind != BufferKind::table;
    }
    const auto* row_ptr = static_cast<const std::int32_t*>(arguments.buffers[number].data);
    end = std::min<std::int64_t>(end, row_ptr[arguments.rows]);
    if (begin >= end) return {0, 0, 0, 0};
    const auto receiver_of = [&](std::int64_t edge) { return std::upper_bound(row_ptr + 1, row_ptr + 1 + arguments.rows, edge) - row_ptr - 1; };
    return {receiver_of(begin), receiver_of(end - 1) + 1, begin, end};
}

/// What each warp of a (task, chunk) does; on a CPU, each call.
std::vector<Rows> rows_of_warps(const Kernel& kernel, const InterpreterArguments& arguments, std::int64_t rows_at_once) {
    const bool window = arguments.edge_end >= 0;
    Rows all{0, arguments.rows, 0, INT64_MAX};
    if (kernel.receiver_rows && (window || arguments.shares > 0))
        all = rows_with_edges(kernel, arguments, arguments.edge_begin, window ? arguments.edge_end : INT64_MAX);
    else if (window)
        all = {arguments.edge_begin, std::min(arguments.rows, arguments.edge_end), 0, INT64_MAX};
    std::vector<Rows> warps;
    const std::int64_t edges = all.edge_end - all.edge_begin;
    for (int k = 0; k < arguments.shares; ++k) {
        const Rows share = rows_with_edges(kernel, arguments, all.edge_begin + edges * k / arguments.shares, all.edge_begin + edges * (k + 1) / arguments.shares);
        if (share.begin < share.end) warps.push_back(share);
    }
    if (arguments.shares > 0) return warps;
    for (std::int64_t begin = all.begin; begin < all.end; begin += rows_at_once)
        warps.push_back({begin, std::min(all.end, begin + rows_at_once), all.edge_begin, all.edge_end});
    return warps;
}

/// On a GPU (task, chunk, warp) run in no order and are told apart as writers; on a CPU one thread runs all tasks of its rows.
std::vector<Work> work_of(const Kernel& kernel, const std::vector<Plan>& plans, const InterpreterArguments& arguments, std::int64_t rows_at_once) {
    std::vector<Work> all;
    std::uint32_t writer = 0;
    for (const Rows& rows : rows_of_warps(kernel, arguments, rows_at_once)) {
        for (std::size_t t = 0; t < plans.size(); ++t) {
            const bool unordered = kernel.target.platform != Platform::cpu;
            for (std::int64_t chunk = 0; chunk < plans[t].task->chunks; ++chunk) {
                all.push_back({t, {chunk, rows.begin, rows.end, rows.begin / rows_at_once, rows.edge_begin, rows.edge_end, arguments.shares > 0, writer}});
                writer += unordered;
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
    if (arguments.shares > 0 && !splits) internal_error("kernel {}: only receivers on a GPU are split", kernel.name);
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
