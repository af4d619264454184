#include <algorithm>
#include <optional>

#include "ir/error.hpp"
#include "ir/kernel.hpp"
#include "ir/kernel_divisors.hpp"
#include "ir/kernel_print.hpp"
#include "ir/kernel_scope.hpp"

namespace flashtp {
namespace {

class TaskVerifier {
  public:
    TaskVerifier(const Kernel& kernel, const KernelTask& task)
        : kernel_(kernel), task_(task), ints_(task.ints.size()), registers_(task.registers.size()) {}

    void run() {
        check_declarations();
        for (const IntId id : {int_chunk, int_row_begin, int_row_end}) ints_.declare(id);
        block(task_.body);
    }

    void operator()(const Comment&) {}
    void operator()(const IntLet& s) { read(s.value), declare_int(s.var); }
    void operator()(const IntSet& s) { read(s.value), assign_int(s.var); }
    void operator()(const IntLoad& s);
    void operator()(const IntMin& s) { read(s.a), read(s.b), declare_or_assign(s.var); }
    void operator()(const IntPut& s) { read_int(s.value), read(s.at), check_span(s.shared, s.at, 0, 0); }
    void operator()(const IntGet& s) { declare_int(s.var), read(s.at), check_span(s.shared, s.at, 0, 0); }
    void operator()(const For&);
    void operator()(const If&);
    void operator()(const Move& s) { compute(s.dst, {&s.src}); }
    void operator()(const Mul& s) { compute(s.dst, {&s.a, &s.b}); }
    void operator()(const Fma& s) { compute(s.dst, {&s.a, &s.b, &s.c}); }
    void operator()(const Load&);
    void operator()(const Store&);
    void operator()(const LaneSum&);
    void operator()(const ReduceStore&);
    void operator()(const Prefetch&);
    void operator()(const CopyLanes&);
    void operator()(const RingBegin&) { require_ring(); }
    void operator()(const StageFill&);
    void operator()(const AsyncCopy&);
    void operator()(const StageCommit& s) { require_ring(), read_int(s.stage); }
    void operator()(const StageWait&);
    void operator()(const StageNext&);
    void operator()(const WindowOpen&);
    void operator()(const WindowRead&);
    void operator()(const BulkReduce&);
    void operator()(const BulkEnd&) {}
    void operator()(const PartOfEdges& s) {
        require(kernel_.receiver_rows && kernel_.target.platform == Platform::cuda, "only receivers on a GPU are split");
        assign_int(s.begin), assign_int(s.end);
    }
    void operator()(const SyncWarp&) {}

  private:
    template <class... Args>
    [[noreturn]] void fail(fmt::format_string<Args...> format, Args&&... args) const {
        internal_error("kernel {}, task {}: {}\n  at: {}\n{}", kernel_.name, task_.name,
                       fmt::format(format, std::forward<Args>(args)...),
                       at_ ? statement_text(kernel_, task_, *at_) : "declarations", excerpt(kernel_, task_, at_));
    }
    void require(bool holds, std::string_view rule) const {
        if (!holds) fail("{}", rule);
    }
    void check_declarations();
    void block(const Block&);

    void read_int(IntId);
    void declare_int(IntId);
    void assign_int(IntId);
    void declare_or_assign(IntId id) { ints_.has(id) && ints_.visible(id) ? assign_int(id) : declare_int(id); }
    void read(const Affine&);
    void read_register(RegId);
    void write_register(RegId);
    void read_all(const std::vector<RegId>&);
    void compute(RegId dst, std::initializer_list<const Arg*>);
    bool uniform(RegId id) const { return task_.registers[static_cast<std::size_t>(id)].uniform; }
    void one_kind(const std::vector<RegId>&);

    const Buffer& buffer(BufferId) const;
    const Buffer& operand(BufferId) const;
    void check_integers(BufferId, bool null_allowed) const;
    void check_access(const Access&, std::size_t components, bool uniform);
    void check_table(const Access&) const;
    void check_span(SharedId, const Affine& base, std::int64_t first, std::int64_t last) const;
    void reads_global(BufferId) const;
    void writes_global(BufferId, StoreMode) const;
    void written(const Access&, StoreMode) const;
    void check_teams(const For&) const;
    void check_async(SharedId, const Affine& shared, BufferId, const Affine& global, std::int64_t count, std::int64_t unit);
    void require_ring() const { require(kernel_.stages > 0, "the kernel has no ring"); }

    const Kernel& kernel_;
    const KernelTask& task_;
    const KernelStatement* at_ = nullptr;
    Scope ints_, registers_;
    std::vector<IntId> fixed_;  ///< variables and ends of the loops around the statement
    std::vector<bool> windows_open_;
    std::optional<std::vector<std::int64_t>> divisors_;  ///< of the integers, once an asynchronous copy asks
};

void TaskVerifier::check_declarations() {
    require(task_.ints.size() > int_row_end, "the reserved integers are missing");
    require(task_.chunks >= 1, "there is no chunk");
    require(task_.windows >= 0, "a negative number of windows");
    windows_open_.resize(static_cast<std::size_t>(task_.windows));
    for (const SharedBuffer& s : task_.shared)
        if (s.offset < 0 || s.size < 1 || s.offset + s.size > kernel_.shared_elements)
            fail("shared buffer {} [{}, {}) is not within the warp's {} elements", s.name, s.offset, s.offset + s.size,
                 kernel_.shared_elements);
}

void TaskVerifier::block(const Block& statements) {
    const std::size_t ints = ints_.enter(), registers = registers_.enter();
    for (const KernelStatement& s : statements) {
        at_ = &s;
        std::visit(*this, s.node);
    }
    ints_.leave(ints);
    registers_.leave(registers);
}

void TaskVerifier::read_int(IntId id) {
    if (!ints_.has(id)) fail("integer {} does not exist", id);
    if (!ints_.visible(id)) fail("integer {} is read where it is not declared", task_.ints[static_cast<std::size_t>(id)]);
}

void TaskVerifier::declare_int(IntId id) {
    if (!ints_.has(id)) fail("integer {} does not exist", id);
    if (ints_.visible(id)) fail("integer {} is declared twice", task_.ints[static_cast<std::size_t>(id)]);
    ints_.declare(id);
}

void TaskVerifier::assign_int(IntId id) {
    read_int(id);
    require(id > int_row_end, "a reserved integer is assigned");
    if (std::ranges::find(fixed_, id) != fixed_.end())
        fail("{}, which bounds an open loop, is assigned", task_.ints[static_cast<std::size_t>(id)]);
}

void TaskVerifier::read(const Affine& a) {
    for (std::size_t n = 0; n < a.terms.size(); ++n) {
        read_int(a.terms[n].first);
        require(a.terms[n].second != 0, "a sum has a zero factor");
        require(n == 0 || a.terms[n - 1].first < a.terms[n].first, "the terms of a sum are not sorted");
    }
}

void TaskVerifier::read_register(RegId id) {
    if (!registers_.has(id)) fail("register {} does not exist", id);
    if (registers_.visible(id)) return;
    const std::string& name = task_.registers[static_cast<std::size_t>(id)].name;
    if (registers_.gone(id)) fail("register {} is read outside the block of its first assignment", name);
    fail("register {} is read before it is assigned", name);
}

void TaskVerifier::write_register(RegId id) {
    if (!registers_.has(id)) fail("register {} does not exist", id);
    const std::string& name = task_.registers[static_cast<std::size_t>(id)].name;
    if (registers_.gone(id)) fail("register {} is assigned outside the block of its first assignment", name);
    if (!registers_.visible(id)) registers_.declare(id);
}

void TaskVerifier::read_all(const std::vector<RegId>& ids) {
    require(!ids.empty(), "no registers");
    for (const RegId id : ids) read_register(id);
}

void TaskVerifier::one_kind(const std::vector<RegId>& ids) {
    for (const RegId id : ids) require(uniform(id) == uniform(ids.front()), "uniform registers and others in one access");
}

void TaskVerifier::compute(RegId dst, std::initializer_list<const Arg*> args) {
    bool all_uniform = true;
    for (const Arg* arg : args) {
        const RegId* id = std::get_if<RegId>(arg);
        if (!id) continue;
        read_register(*id);
        all_uniform &= uniform(*id);
    }
    write_register(dst);
    require(all_uniform || !uniform(dst), "a uniform register is computed from one that is not");
}

const Buffer& TaskVerifier::buffer(BufferId id) const {
    if (id < 0 || static_cast<std::size_t>(id) >= kernel_.buffers.size()) fail("buffer {} does not exist", id);
    return kernel_.buffers[static_cast<std::size_t>(id)];
}

const Buffer& TaskVerifier::operand(BufferId id) const {
    const Buffer& b = buffer(id);
    if (b.kind != BufferKind::operand) fail("buffer {} is not an operand", b.name);
    return b;
}

void TaskVerifier::check_integers(BufferId id, bool null_allowed) const {
    const Buffer& b = buffer(id);
    if (b.kind == BufferKind::operand) fail("buffer {} does not hold integers", b.name);
    if (null_allowed && b.kind != BufferKind::index) fail("table {} is never null", b.name);
}

/// Only a base without variables has bounds that are known here.
void TaskVerifier::check_span(SharedId id, const Affine& base, std::int64_t first, std::int64_t last) const {
    if (id < 0 || static_cast<std::size_t>(id) >= task_.shared.size()) fail("shared buffer {} does not exist", id);
    const SharedBuffer& s = task_.shared[static_cast<std::size_t>(id)];
    if (!base.terms.empty()) return;
    if (base.constant + first < 0 || base.constant + last >= s.size)
        fail("elements {} to {} are not within shared buffer {} of {}", base.constant + first, base.constant + last, s.name,
             s.size);
}

void TaskVerifier::check_table(const Access& a) const {
    const Buffer& table = buffer(*a.table);
    if (table.kind != BufferKind::table) fail("buffer {} is not a table", table.name);
    if (!a.table_base.terms.empty()) return;
    const std::int64_t last = a.table_base.constant + a.active;
    if (a.table_base.constant < 0 || last > static_cast<std::int64_t>(table.table.size()))
        fail("entries {} to {} are not within table {} of {}", a.table_base.constant, last - 1, table.name, table.table.size());
}

void TaskVerifier::check_access(const Access& a, std::size_t components, bool uniform) {
    read(a.base);
    if (a.active < 1 || a.active > kernel_.lanes) fail("{} active lanes of {}", a.active, kernel_.lanes);
    if (a.table) read(a.table_base), check_table(a);
    if (uniform) require(a.lane_stride == 0 && !a.table, "uniform registers need an address that does not depend on the lane");
    if (a.place == Place::global) return void(operand(a.buffer));
    const std::int64_t lanes = a.table ? 0 : (a.active - 1) * a.lane_stride;
    const std::int64_t all = (static_cast<std::int64_t>(components) - 1) * a.component_stride;
    check_span(a.buffer, a.base, std::min<std::int64_t>(0, lanes) + std::min<std::int64_t>(0, all),
               std::max<std::int64_t>(0, lanes) + std::max<std::int64_t>(0, all));
}

void TaskVerifier::reads_global(BufferId id) const {
    const Buffer& b = operand(id);
    if (b.operand && b.operand->role != Role::input) fail("output {} is read", b.name);
}

void TaskVerifier::writes_global(BufferId id, StoreMode mode) const {
    const Buffer& b = operand(id);
    if (b.operand && b.operand->role != Role::output) fail("input {} is written", b.name);
    if (mode != StoreMode::atomic) return;
    if (!b.shared_rows) fail("atomic additions to {}, whose rows are not shared", b.name);
    if (!b.zeroed) fail("atomic additions to {}, which is not zeroed", b.name);
}

void TaskVerifier::written(const Access& a, StoreMode mode) const {
    if (a.place == Place::global) return writes_global(a.buffer, mode);
    require(mode != StoreMode::atomic, "shared memory is a warp's own: no atomics");
}

void TaskVerifier::operator()(const IntLoad& s) {
    check_integers(s.buffer, s.identity_if_null);
    read(s.index);
    s.declare ? declare_int(s.var) : assign_int(s.var);
}

/// What teams of lanes may do apart from each other: no integer but the loop's own and those its windows give differs between them.
void TaskVerifier::check_teams(const For& s) const {
    require(s.teams > 0 && s.teams <= kernel_.lanes && (s.teams & (s.teams - 1)) == 0, "a loop is dealt to a power of two of teams");
    require(s.begin == Affine(0) && s.step == 1, "a loop over teams counts from 0");
    bool copies = false;
    for (const KernelStatement& inner : s.body) {
        const auto* copy = std::get_if<AsyncCopy>(&inner.node);
        const bool writes = (copy && !copy->bulk) || std::holds_alternative<IntPut>(inner.node);
        copies |= writes;
        require(writes || (!copies && std::holds_alternative<WindowRead>(inner.node)),
                "a loop over teams holds window reads, then puts and copies that are not in bulk");
    }
}

void TaskVerifier::operator()(const For& s) {
    read(s.begin), read(s.end);
    require(s.step > 0, "a loop needs a positive step");
    if (s.teams) check_teams(s);
    const std::size_t entered = ints_.enter(), fixed = fixed_.size();
    declare_int(s.var);
    fixed_.push_back(s.var);
    for (const auto& [variable, factor] : s.end.terms) fixed_.push_back(variable);
    block(s.body);
    fixed_.resize(fixed);
    ints_.leave(entered);
}

void TaskVerifier::operator()(const If& s) {
    read(s.a), read(s.b);
    block(s.body);
}

void TaskVerifier::operator()(const Load& s) {
    require(!s.dst.empty(), "no registers");
    for (const RegId id : s.dst) write_register(id);
    one_kind(s.dst);
    check_access(s.from, s.dst.size(), uniform(s.dst.front()));
    if (s.from.place == Place::global) reads_global(s.from.buffer);
}

void TaskVerifier::operator()(const Store& s) {
    read_all(s.src);
    one_kind(s.src);
    const bool one = uniform(s.src.front());
    check_access(s.to, s.src.size(), one);
    written(s.to, s.mode);
    const bool several = !one && !s.to.table && s.to.lane_stride == 0 && s.to.active > 1;
    require(!several || s.mode != StoreMode::store, "several lanes store to one element");
}

void TaskVerifier::operator()(const LaneSum& s) {
    read_all(s.src);
    require(s.dst.size() == s.src.size(), "a sum over lanes needs a register for each register");
    for (const RegId id : s.dst) {
        write_register(id);
        require(uniform(id), "a sum over lanes is uniform");
    }
}

void TaskVerifier::operator()(const ReduceStore& s) {
    read_all(s.src);
    check_access(s.to, s.src.size(), true);
    require(s.to.component_stride == 1 || s.src.size() == 1, "sums over lanes are stored contiguously");
    if (s.scratch >= 0) check_span(s.scratch, 0, 0, reduce_scratch(s.src.size(), kernel_.lanes) - 1);
    written(s.to, s.mode);
}

void TaskVerifier::operator()(const Prefetch& s) {
    read(s.base), operand(s.buffer);
    require(s.count >= 1, "nothing to prefetch");
}

void TaskVerifier::operator()(const CopyLanes& s) {
    const auto size = static_cast<std::int64_t>(size_of(kernel_.compute));
    check_async(s.shared, s.shared_base, s.global, s.global_base, s.count, s.to_shared ? s.vector * size : 1);
    s.to_shared ? reads_global(s.global) : writes_global(s.global, s.mode);
}

void TaskVerifier::operator()(const StageFill& s) {
    require_ring(), read_int(s.stage);
    read(s.bulk_bytes);
    require(s.bulk_bytes == Affine(0) || task_.copy == CopyMechanism::barrier, "bulk copies need barriers");
}

/// Both ends start at a multiple of `unit` bytes, whatever the integers are. Operands are aligned at least as well.
void TaskVerifier::check_async(SharedId shared, const Affine& shared_base, BufferId global, const Affine& global_base,
                               std::int64_t count, std::int64_t unit) {
    read(shared_base), read(global_base);
    require(count >= 1, "nothing to copy");
    check_span(shared, shared_base, 0, count - 1);
    require(operand(global).dtype == kernel_.compute, "asynchronous copies do not convert");
    const auto size = static_cast<std::int64_t>(size_of(kernel_.compute));
    if (count * size % unit != 0) fail("{} bytes are not a multiple of {}", count * size, unit);
    if (!divisors_) divisors_ = int_divisors(task_);
    const std::int64_t offset = task_.shared[static_cast<std::size_t>(shared)].offset;
    if (divisor_of(shared_base + Affine(offset), *divisors_) * size % unit != 0)
        fail("the shared address is not aligned to {} bytes", unit);
    if (divisor_of(global_base, *divisors_) * size % unit != 0) fail("the global address is not aligned to {} bytes", unit);
}

void TaskVerifier::operator()(const AsyncCopy& s) {
    require_ring();
    const auto size = static_cast<std::int64_t>(size_of(kernel_.compute));
    const std::int64_t unit = s.bulk ? 16 : s.vector * size;
    require(unit == 4 || unit == 8 || unit == 16, "an element copy moves 4, 8 or 16 bytes");
    check_async(s.shared, s.shared_base, s.global, s.global_base, s.count, unit);
    reads_global(s.global);
    const bool barriers = task_.copy == CopyMechanism::barrier;
    require(!s.bulk || barriers, "bulk copies need barriers");
    require(s.bulk || !barriers || task_.element_copies, "an element copy in a task without element_copies");
}

void TaskVerifier::operator()(const StageWait& s) {
    require_ring(), read_int(s.stage);
    if (task_.copy == CopyMechanism::barrier || s.phase >= 0) read_int(s.phase);
}

void TaskVerifier::operator()(const StageNext& s) {
    require_ring(), assign_int(s.stage);
    if (s.phase) assign_int(*s.phase);
}

void TaskVerifier::operator()(const WindowOpen& s) {
    if (s.window < 0 || s.window >= task_.windows) fail("window {} does not exist", s.window);
    check_integers(s.buffer, true);
    read(s.begin), read(s.end);
    windows_open_[static_cast<std::size_t>(s.window)] = true;
}

void TaskVerifier::operator()(const WindowRead& s) {
    if (s.window < 0 || s.window >= task_.windows) fail("window {} does not exist", s.window);
    if (!windows_open_[static_cast<std::size_t>(s.window)]) fail("window {} is read before it is opened", s.window);
    read(s.position);
    declare_or_assign(s.var);
}

void TaskVerifier::operator()(const BulkReduce& s) {
    check_async(s.shared, s.shared_base, s.global, s.global_base, s.count, 16);
    writes_global(s.global, StoreMode::atomic);
}

}  // namespace

void verify(const Kernel& kernel) {
    const auto require = [&](bool holds, std::string_view rule) {
        if (!holds) internal_error("kernel {}: {}\n{}", kernel.name, rule, excerpt(kernel, {}, nullptr));
    };
    require(kernel.lanes >= 1, "there are no lanes");
    require(kernel.warps_per_block >= 1 && kernel.min_blocks >= 1 && kernel.rows_per_warp >= 1, "the launch shape is empty");
    require(kernel.stages >= 0 && kernel.shared_elements >= 0, "negative stages or shared memory");
    for (const Buffer& b : kernel.buffers) {
        require(b.kind != BufferKind::operand || !b.operand || b.operand->width >= 0, "an operand has negative columns");
        require(b.kind != BufferKind::table || !b.table.empty(), "a table is empty");
    }
    for (const KernelTask& task : kernel.tasks) TaskVerifier(kernel, task).run();
}

}  // namespace flashtp
