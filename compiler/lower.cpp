#include "compiler/lower.hpp"

#include <algorithm>

#include "compiler/keep_outputs.hpp"
#include "compiler/lower_task.hpp"
#include "compiler/outputs.hpp"
#include "ir/error.hpp"

namespace flashtp {

namespace {

std::vector<Nest> build_nests(const EdgeProgram& program, const Schedule& schedule) {
    std::vector<Nest> nests;
    for (const Task& task : schedule.tasks) nests.emplace_back(restrict_to_paths(program, task.paths), task);
    return nests;
}

std::vector<std::string> path_comments(const Task& task, const KernelInfo& info) {
    std::vector<std::string> comments;
    for (const int path : task.paths) comments.push_back(info.path_names[path]);
    return comments;
}

bool written_with(StoreMode mode, const std::vector<Nest>& nests, const std::vector<StoreModes>& modes, OperandId operand) {
    for (std::size_t n = 0; n < nests.size(); ++n)
        for (ValueId v = 0; v < static_cast<ValueId>(modes[n].size()); ++v) {
            const Value& value = nests[n].program().values[v];
            const bool output = nests[n].place(v).written && nests[n].program().is_output(v);
            if (output && value.binding->operand == operand && modes[n][v] == mode) return true;
        }
    return false;
}

// Rows of edges and receivers are visited exactly once each, so columns that are all stored need no zeroing.
void describe_outputs(const EdgeProgram& program, const std::vector<Nest>& nests, const std::vector<StoreModes>& modes,
                      std::vector<Buffer>& buffers) {
    for (OperandId o = 0; o < static_cast<OperandId>(program.operands.size()); ++o) {
        const Operand& operand = program.operands[o];
        if (operand.role == Role::input) continue;
        const bool atomic = written_with(StoreMode::atomic, nests, modes, o);
        const bool added = atomic || written_with(StoreMode::add, nests, modes, o);
        buffers[o].zeroed = added || stored_elements(nests, modes, o) != operand.width;
        buffers[o].shared_rows = atomic;
        buffers[o].streaming = operand.row == Row::edge && !operand.tile && !added;
    }
}

}  // namespace

BufferTable::BufferTable(const EdgeProgram& program, DType dtype, bool convolution) {
    for (const Operand& operand : program.operands) {
        Buffer buffer;
        buffer.name = operand.name;
        buffer.dtype = dtype;
        buffer.operand = operand;
        buffers.push_back(std::move(buffer));
    }
    if (!convolution) return;
    index_ = static_cast<BufferId>(buffers.size());
    for (const char* name : {"row_ptr", "sender", "edge"}) {
        Buffer buffer;
        buffer.name = name;
        buffer.kind = BufferKind::index;
        buffers.push_back(std::move(buffer));
    }
}

BufferId BufferTable::pairs(const PairAxis& axis) {
    const std::string name = fmt::format("pairs_{}_{}", axis.multiplicity, axis.second ? "v" : "u");
    for (BufferId b = 0; b < static_cast<BufferId>(buffers.size()); ++b)
        if (buffers[b].name == name) return b;
    Buffer table;
    table.name = name;
    table.kind = BufferKind::table;
    for (std::int64_t u = 0; u < axis.multiplicity; ++u)
        for (std::int64_t v = u + 1; v < axis.multiplicity; ++v)
            table.table.push_back(static_cast<std::int32_t>(axis.second ? v : u));
    buffers.push_back(std::move(table));
    return static_cast<BufferId>(buffers.size()) - 1;
}

Kernel empty_kernel(const KernelInfo& info, const Target& target) {
    Kernel kernel;
    kernel.name = info.name;
    kernel.header = info.header;
    kernel.target = target;
    kernel.compute = info.compute;
    kernel.lanes = lanes_of(target, size_of(info.compute));
    return kernel;
}

namespace {

/// One for each number that tasks name.
std::vector<Kernel> kernels_without_tasks(const Schedule& schedule, const Target& target, const KernelInfo& info) {
    Kernel kernel = empty_kernel(info, target);
    kernel.receiver_rows = schedule.receiver_stationary;
    kernel.warps_per_block = schedule.warps_per_block;
    kernel.min_blocks = schedule.min_blocks;
    kernel.rows_per_warp = schedule.rows_per_warp;
    std::vector<Kernel> kernels(static_cast<std::size_t>(kernel_count(schedule)), kernel);
    if (kernels.size() == 1) return kernels;
    for (std::size_t k = 0; k < kernels.size(); ++k) kernels[k].name += fmt::format("_part{}", k);
    return kernels;
}

}  // namespace

std::vector<Kernel> lower_to_kernels(const EdgeProgram& program, const Schedule& schedule, const Target& target,
                                     const KernelInfo& info) {
    std::vector<Kernel> kernels = kernels_without_tasks(schedule, target, info);
    // Of all tasks together: it makes no difference to an output which kernel adds to it.
    const std::vector<Nest> nests = build_nests(program, schedule);
    const std::vector<StoreModes> modes = choose_store_modes(nests, target.platform == Platform::cpu);
    BufferTable buffers(program, info.dtype, program.is_convolution());
    for (std::size_t t = 0; t < nests.size(); ++t) {
        Kernel& kernel = kernels[static_cast<std::size_t>(schedule.tasks[t].kernel)];
        TaskLowering lowering(nests[t], schedule, target, modes[t], buffers, kernel.lanes, info.compute);
        kernel.tasks.push_back(lowering.run(fmt::format("task{}", t), path_comments(schedule.tasks[t], info)));
        kernel.shared_elements = std::max(kernel.shared_elements, lowering.shared_elements());
        if (lowering.uses_ring()) kernel.stages = schedule.ring.stages;
    }
    describe_outputs(program, nests, modes, buffers.buffers);
    for (Kernel& kernel : kernels) kernel.buffers = buffers.buffers;
    return kernels;
}

}  // namespace flashtp
