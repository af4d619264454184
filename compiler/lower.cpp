#include "compiler/lower.hpp"

#include <algorithm>

#include "compiler/keep_outputs.hpp"
#include "compiler/lower_task.hpp"
#include "compiler/outputs.hpp"
#include "compiler/partial_sums.hpp"
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
                      const PartialSums& parts, BufferTable& table) {
    for (OperandId o = 0; o < static_cast<OperandId>(program.operands.size()); ++o) {
        const Operand& operand = program.operands[o];
        const bool in_parts = std::ranges::any_of(parts.sums, [&](const PartialSum& sum) { return sum.output.name == operand.name; });
        if (operand.role == Role::input || table.operand(o) < 0 || in_parts) continue;
        Buffer& buffer = table.buffers[static_cast<std::size_t>(table.operand(o))];
        const bool atomic = written_with(StoreMode::atomic, nests, modes, o);
        const bool added = atomic || written_with(StoreMode::add, nests, modes, o);
        buffer.zeroed = added || stored_elements(nests, modes, o) != operand.width;
        buffer.shared_rows = atomic;
        buffer.streaming = operand.row == Row::edge && !operand.tile && !added;
    }
    for (const PartialSum& sum : parts.sums) table.buffers[static_cast<std::size_t>(table.named(sum.parts.name))].zeroed = sum.zeroed;
}

}  // namespace

void BufferTable::add_operand(const Operand& operand, DType dtype) {
    Buffer buffer;
    buffer.name = operand.name;
    buffer.dtype = operand.storage.value_or(dtype);
    buffer.operand = operand;
    buffers.push_back(std::move(buffer));
}

BufferId BufferTable::named(const std::string& name) const {
    const auto found = std::ranges::find(buffers, name, &Buffer::name);
    if (found == buffers.end()) internal_error("there is no buffer {}", name);
    return static_cast<BufferId>(found - buffers.begin());
}

BufferTable::BufferTable(const EdgeProgram& program, DType dtype, bool convolution, const TileTerm* term) {
    for (const Operand& operand : program.operands) {
        of_operand_.push_back(term && operand.tile ? -1 : static_cast<BufferId>(buffers.size()));
        if (of_operand_.back() >= 0) add_operand(operand, dtype);
    }
    if (term) add_operand(term->rows, dtype), add_operand(term->matrix, dtype);
    if (term && term->bias) add_operand(*term->bias, dtype);
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

/// Who else writes what a kernel's tasks write.
enum class Others { any, in_parts, none };

std::vector<Kernel> lower_tasks(const EdgeProgram& program, const Schedule& schedule, const Target& target, const KernelInfo& info,
                                const TileTerm* term, Others others, PartialSums& parts) {
    std::vector<Kernel> kernels = kernels_without_tasks(schedule, target, info);
    // Of all tasks together: it makes no difference to an output which kernel adds to it.
    const std::vector<Nest> nests = build_nests(program, schedule);
    std::vector<StoreModes> modes = choose_store_modes(nests, target.platform == Platform::cpu);
    parts.places.resize(nests.size());
    if (others == Others::in_parts) parts = keep_parts(program, nests, kernels.front().lanes, modes);
    if (others == Others::none)
        for (StoreModes& of_task : modes) std::ranges::fill(of_task, StoreMode::store);
    BufferTable buffers(program, info.dtype, program.is_convolution(), term);
    for (const PartialSum& sum : parts.sums) buffers.add_operand(sum.parts, info.dtype);
    for (std::size_t t = 0; t < nests.size(); ++t) {
        Kernel& kernel = kernels[static_cast<std::size_t>(schedule.tasks[t].kernel)];
        TaskLowering lowering(nests[t], schedule, target, {modes[t], parts.places[t]}, buffers, kernel.lanes, info.compute, term);
        kernel.tasks.push_back(lowering.run(fmt::format("task{}", t), path_comments(schedule.tasks[t], info)));
        kernel.shared_elements = std::max(kernel.shared_elements, lowering.shared_elements());
        kernel.windows = target.platform == Platform::cuda && !term && std::ranges::any_of(program.operands, &Operand::tile);
        if (lowering.uses_ring()) kernel.stages = schedule.ring.stages;
    }
    describe_outputs(program, nests, modes, parts, buffers);
    // Windows begin and end within receivers, whose rows are added up.
    if (kernels.front().windows)
        for (Buffer& buffer : buffers.buffers)
            if (added_by_parts(kernels.front(), buffer)) buffer.zeroed = buffer.shared_rows = true;
    for (Kernel& kernel : kernels) {
        kernel.buffers = buffers.buffers;
        kernel.most_ranges = most_ranges(parts.sums, info.dtype);
    }
    return kernels;
}

/// A kernel that adds up parts, all of them or, with `others` in parts, into fewer.
Kernel lower_parts(const PartialSum& sum, const char* suffix, const Target& target, KernelInfo info, Others others, PartialSums& fewer) {
    info.name += suffix + sum.output.name;
    info.path_names.assign(sum.columns.size(), fmt::format("parts of {}", sum.output.name));
    const Schedule schedule = sum_schedule(sum, target, lanes_of(target, size_of(info.compute)));
    Kernel kernel = lower_tasks(sum_program(sum), schedule, target, info, nullptr, others, fewer).front();
    kernel.sums = sum.output.row;
    return kernel;
}

/// Each element of the output is written by one warp, which adds up all its parts.
Kernel lower_sum(const PartialSum& sum, const Target& target, const KernelInfo& info) {
    PartialSums none;
    Kernel kernel = lower_parts(sum, "_sum_", target, info, Others::none, none);
    if (!sum.by_range()) return kernel;
    kernel.most_ranges = 1;
    // Where there are no rows nothing runs.
    for (Buffer& buffer : kernel.buffers) buffer.zeroed |= buffer.name == sum.output.name;
    return kernel;
}

/// Makes fewer parts of those of a shared row, so that few steps follow each other.
Kernel lower_first_sum(PartialSum& sum, const Target& target, const KernelInfo& info) {
    PartialSums fewer;
    Kernel kernel = lower_parts(sum, "_parts_", target, info, Others::in_parts, fewer);
    kernel.most_ranges = ranges_of_parts;
    sum = fewer.sums.at(0);
    return kernel;
}

}  // namespace

std::vector<Kernel> lower_to_kernels(const EdgeProgram& program, const Schedule& schedule, const Target& target,
                                     const KernelInfo& info, const TileTerm* term) {
    PartialSums parts;
    const Others others = schedule.deterministic && target.platform != Platform::cpu ? Others::in_parts : Others::any;
    std::vector<Kernel> kernels = lower_tasks(program, schedule, target, info, term, others, parts);
    for (PartialSum& sum : parts.sums) {
        if (sum.by_range()) kernels.push_back(lower_first_sum(sum, target, info));
        kernels.push_back(lower_sum(sum, target, info));
    }
    return kernels;
}

}  // namespace flashtp
