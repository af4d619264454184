#include "ir/kernel_verifier.hpp"

#include <algorithm>

namespace flashtp {

void TaskVerifier::check_declarations() {
    require(task_.ints.size() > int_row_end, "the reserved integers are missing");
    require(task_.chunks >= 1, "there is no chunk");
    require(task_.windows >= 0, "a negative number of windows");
    for (const BlockMatrix& matrix : task_.matrices) check_matrix(matrix);
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

void TaskVerifier::operator()(const IntLoad& s) {
    check_integers(s.buffer, s.identity_if_null);
    read(s.index);
    s.declare ? declare_int(s.var) : assign_int(s.var);
}

/// What teams of lanes may do apart from each other: no integer but the loop's own and those its windows give differs between them.
void TaskVerifier::check_teams(const For& s) const {
    require(s.teams > 0 && s.teams <= kernel_.lanes && (s.teams & (s.teams - 1)) == 0, "a loop is dealt to a power of two of teams");
    require(s.rounds > 0, "a loop over teams has rounds");
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
