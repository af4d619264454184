#include "ir/interpret_memory.hpp"

#include <utility>

#include "ir/error.hpp"
#include "ir/kernel_print.hpp"

namespace flashtp::interpreter {

void Site::fail(const std::string& what) const {
    constexpr std::size_t most = 40;
    std::string values;
    for (std::size_t n = 0; n < std::min(ints.size(), most); ++n) values += fmt::format(" {}={}", task->ints[n], ints[n]);
    internal_error("kernel {}, task {}: {}\n  at: {}\n  with{}\n{}", kernel->name, task->name, what,
                   at ? statement_text(*kernel, *task, *at) : "the end", values, excerpt(*kernel, *task, at));
}

std::string lane_text(int lane) { return lane == some_lane ? "some lane" : fmt::format("lane {}", lane); }

GlobalMemory::GlobalMemory(const Kernel& kernel, const InterpreterArguments& arguments) : kernel_(kernel), split_(arguments.shares > 0 || kernel.windows) {
    std::size_t next = 0;
    for (const Buffer& b : kernel.buffers) {
        Memory m{&b, nullptr, 0, b.zeroed || (split_ && added_by_parts(kernel, b)), {}};
        if (b.kind == BufferKind::table) {
            m.elements = static_cast<std::int64_t>(b.table.size());
        } else {
            if (next == arguments.buffers.size()) internal_error("kernel {}: no memory for buffer {}", kernel.name, b.name);
            const InterpreterBuffer& given = arguments.buffers[next++];
            m.data = given.data;
            m.elements = given.data ? given.elements : 0;
        }
        const bool written = b.kind == BufferKind::operand && (!b.operand || b.operand->role == Role::output);
        if (written) m.writers.resize(static_cast<std::size_t>(m.elements));
        memories_.push_back(std::move(m));
    }
    if (next != arguments.buffers.size())
        internal_error("kernel {}: memory for {} buffers, but it has {}", kernel.name, arguments.buffers.size(), next);
}

std::int64_t GlobalMemory::integer(const Site& site, BufferId id, std::int64_t index, bool identity_if_null, int lane) const {
    const Memory& m = memories_[static_cast<std::size_t>(id)];
    const bool is_table = m.declared->kind == BufferKind::table;
    if (!is_table && !m.data) {
        if (!identity_if_null) site.fail(fmt::format("index buffer {} is null", m.declared->name));
        return index;
    }
    if (index < 0 || index >= m.elements) out_of_range(site, m, index, lane);
    return (is_table ? m.declared->table.data() : static_cast<const std::int32_t*>(m.data))[index];
}

void GlobalMemory::out_of_range(const Site& site, const Memory& m, std::int64_t index, int lane) {
    site.fail(
        fmt::format("{}: element {} of {} is out of range, it has {}", lane_text(lane), index, m.declared->name, m.elements));
}

/// Warps run in no order: what one of them stores or adds without atomics belongs to it alone.
void GlobalMemory::note_write(const Site& site, Memory& m, std::int64_t index, StoreMode mode, std::uint32_t writer, int lane) {
    Writer& last = m.writers[static_cast<std::size_t>(index)];
    const bool own = last.kind == Writer::none || last.warp == writer;
    const auto where = [&] { return fmt::format("{}: element {} of {}", lane_text(lane), index, m.declared->name); };
    if (mode == StoreMode::store) {
        if (!own) site.fail(where() + " is stored, but another warp writes it as well");
        last.kind = Writer::store;
        last.warp = writer;
        return;
    }
    if (last.kind == Writer::none && !m.zeroed)
        site.fail(where() + " is added to, but neither zeroed nor stored before");
    const bool atomics = mode == StoreMode::atomic && (last.kind == Writer::none || last.kind == Writer::atomic);
    if (!own && !atomics) site.fail(where() + " is added to, but another warp writes it without atomics, or this one does");
    if (last.kind == Writer::none) last.kind = mode == StoreMode::atomic ? Writer::atomic : Writer::add;
    if (last.kind == Writer::atomic && mode == StoreMode::add) last.kind = Writer::add;
    last.warp = own ? writer : Writer::several;
}

void GlobalMemory::check_complete() const {
    for (const Memory& m : memories_) {
        if (m.zeroed || !m.declared->operand) continue;
        for (std::size_t n = 0; n < m.writers.size(); ++n) {
            if (m.writers[n].kind != Writer::none) continue;
            internal_error("kernel {}: element {} of {} is neither written nor zeroed", kernel_.name, n, m.declared->name);
        }
    }
}

}  // namespace flashtp::interpreter
