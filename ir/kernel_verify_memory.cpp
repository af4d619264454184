// Accesses, copies, the ring, windows and bulk reductions.
#include <algorithm>

#include "ir/kernel_divisors.hpp"
#include "ir/kernel_verifier.hpp"

namespace flashtp {

/// Only a base without variables has bounds that are known here.
void TaskVerifier::check_span(SharedId id, const Affine& base, std::int64_t first, std::int64_t last, std::int64_t in_a_word) const {
    if (id < 0 || static_cast<std::size_t>(id) >= task_.shared.size()) fail("shared buffer {} does not exist", id);
    const SharedBuffer& s = task_.shared[static_cast<std::size_t>(id)];
    if (!base.terms.empty()) return;
    if (base.constant + first < 0 || base.constant + last >= s.size * in_a_word)
        fail("elements {} to {} are not within shared buffer {} of {}", base.constant + first, base.constant + last, s.name,
             s.size);
}

/// Elements that a word of shared memory holds.
std::int64_t TaskVerifier::in_a_word(DType dtype) const {
    require(dtype == kernel_.compute || (is_storage_only(dtype) && kernel_.compute == DType::float32), "asynchronous copies do not convert");
    return static_cast<std::int64_t>(size_of(kernel_.compute) / size_of(dtype));
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
    if (a.place == Place::global) require(!a.stored, "an operand's buffer says what it holds");
    if (a.place == Place::global) return void(operand(a.buffer));
    const std::int64_t lanes = a.table ? 0 : (a.active - 1) * a.lane_stride;
    const std::int64_t all = (static_cast<std::int64_t>(components) - 1) * a.component_stride;
    check_span(a.buffer, a.base, std::min<std::int64_t>(0, lanes) + std::min<std::int64_t>(0, all),
               std::max<std::int64_t>(0, lanes) + std::max<std::int64_t>(0, all), a.stored ? in_a_word(*a.stored) : 1);
}

void TaskVerifier::reads_global(BufferId id) const {
    const Buffer& b = operand(id);
    if (b.operand && b.operand->role != Role::input) fail("output {} is read", b.name);
}

void TaskVerifier::writes_global(BufferId id, StoreMode mode) const {
    const Buffer& b = operand(id);
    if (b.operand && b.operand->role != Role::output) fail("input {} is written", b.name);
    if (kernel_.target.platform == Platform::cuda && !zeros_ready_) fail("{} is written before its zeros are ready", b.name);
    require(mode == StoreMode::store || !is_storage_only(b.dtype), "sums are not kept in a type for storage");
    if (mode != StoreMode::atomic) return;
    if (!b.shared_rows) fail("atomic additions to {}, whose rows are not shared", b.name);
    if (!b.zeroed) fail("atomic additions to {}, which is not zeroed", b.name);
}

void TaskVerifier::written(const Access& a, StoreMode mode) const {
    if (a.place == Place::global) return writes_global(a.buffer, mode);
    require(!a.stored, "only copies write what is not of the compute type");
    require(mode != StoreMode::atomic, "shared memory is a warp's own: no atomics");
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

void TaskVerifier::operator()(const LaneGet& s) {
    require(kernel_.target.platform == Platform::cuda, "only lanes of a GPU read each other's registers");
    read_all(s.src), read(s.lane);
    require(s.dst.size() == s.src.size(), "a lane's numbers need a register for each register");
    for (const RegId id : s.dst) {
        write_register(id);
        require(uniform(id), "what all lanes read of one is uniform");
    }
}

void TaskVerifier::operator()(const SpreadSums& s) {
    require(kernel_.target.platform == Platform::cuda, "only lanes of a GPU read each other's registers");
    read_all(s.src), read(s.first);
    read_register(s.dst);
    require(!uniform(s.dst), "sums are spread over the lanes of a register");
    require(s.src.size() <= static_cast<std::size_t>(kernel_.lanes), "no more sums than lanes are spread");
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
    require(operand(s.global).dtype == kernel_.compute, "copies by lanes do not convert");
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
    const std::int64_t a_word = in_a_word(operand(global).dtype);
    check_span(shared, shared_base, 0, (count + a_word - 1) / a_word - 1);
    const auto word = static_cast<std::int64_t>(size_of(kernel_.compute)), size = word / a_word;
    if (count * size % unit != 0) fail("{} bytes are not a multiple of {}", count * size, unit);
    if (!divisors_) divisors_ = int_divisors(task_);
    const std::int64_t offset = task_.shared[static_cast<std::size_t>(shared)].offset;
    if (divisor_of(shared_base + Affine(offset), *divisors_) * word % unit != 0)
        fail("the shared address is not aligned to {} bytes", unit);
    if (divisor_of(global_base, *divisors_) * size % unit != 0) fail("the global address is not aligned to {} bytes", unit);
}

void TaskVerifier::operator()(const AsyncCopy& s) {
    require_ring();
    const auto size = static_cast<std::int64_t>(size_of(operand(s.global).dtype));
    const std::int64_t unit = s.bulk ? 16 : s.vector * size;
    require(unit == 4 || unit == 8 || unit == 16, "an element copy moves 4, 8 or 16 bytes");
    check_async(s.shared, s.shared_base, s.global, s.global_base, s.count, unit);
    reads_global(s.global);
    require(task_.copy != CopyMechanism::plain || operand(s.global).dtype == kernel_.compute, "plain copies are of numbers");
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
    require(operand(s.global).dtype == kernel_.compute, "bulk reductions do not convert");
    check_async(s.shared, s.shared_base, s.global, s.global_base, s.count, 16);
    writes_global(s.global, s.mode);
}

void TaskVerifier::check_matrix(const BlockMatrix& m) const {
    require(kernel_.target.compute_capability >= least_capability_of_products, "matrices of a block need tensor cores");
    require(kernel_.compute == DType::float32, "products over tiles are of float32");
    require(m.rows >= 1 && m.width() >= 1, "an empty matrix");
    const auto check_buffer = [&](BufferId id, std::int64_t rows) {
        if (!m.written) reads_global(id);
        const Operand& of = *operand(id).operand;
        require(operand(id).dtype == kernel_.compute && of.row == Row::shared, "a matrix of other numbers than its products");
        if (of.width < rows * m.pitch) fail("{} is smaller than {} rows of {}", of.name, rows, m.pitch);
    };
    check_buffer(m.buffer, m.rows);
    if (m.bias) check_buffer(*m.bias, 1);
    for (const std::int64_t first : m.first)
        if (first < 0 || first + (task_.chunks - 1) * m.chunk_step + m.run > m.pitch)
            fail("columns {} to {} of {}", first, first + m.run - 1, m.pitch);
}

void TaskVerifier::operator()(const EdgeProduct& s) {
    using To = EdgeProduct::To;
    if (s.matrix < 0 || static_cast<std::size_t>(s.matrix) >= task_.matrices.size()) fail("matrix {} does not exist", s.matrix);
    const BlockMatrix& m = task_.matrices[static_cast<std::size_t>(s.matrix)];
    read(s.begin), read(s.end), check_integers(s.edge, true);
    require(m.written == (s.to == To::matrix) && m.first.size() == 1, "a product of edges has one run of columns, which is loaded where it is read");
    require(s.to == To::tile || (!s.add && !s.bias), "only a tile is stored");
    require(!s.bias || (m.bias && !s.add), "a bias that the matrix has not, or that is added twice");
    require(s.rows || (s.to == To::matrix && m.rows == 1), "only sums of a tile's rows need no rows of the layer");
    if (s.rows && operand(*s.rows).operand->width < m.rows) fail("rows of {} are shorter than the {} of the matrix", operand(*s.rows).name, m.rows);
    if (operand(s.tile).operand->width < m.first[0] + (task_.chunks - 1) * m.chunk_step + m.run) fail("columns beyond those of {}", operand(s.tile).name);
    if (s.rows) s.to == To::rows ? writes_global(*s.rows, StoreMode::atomic) : reads_global(*s.rows);
    s.to == To::tile ? writes_global(s.tile, s.add ? StoreMode::add : StoreMode::store) : reads_global(s.tile);
    if (s.to == To::matrix) writes_global(m.buffer, StoreMode::atomic);
}

void TaskVerifier::operator()(const TileProduct& s) {
    if (s.matrix < 0 || static_cast<std::size_t>(s.matrix) >= task_.matrices.size()) fail("matrix {} does not exist", s.matrix);
    const MatrixLayout layout = matrix_layout(task_.matrices[static_cast<std::size_t>(s.matrix)]);
    const bool biased = task_.matrices[static_cast<std::size_t>(s.matrix)].bias.has_value();
    require(!s.bias || biased, "a bias that the matrix has not");
    require(s.tile > 0 && s.tile % 16 == 0, "a tile has a multiple of 16 edges");
    require(s.to_pitch % 2 == 0 && s.from_pitch % 2 == 0, "rows of a tile start at pairs");
    read(s.rows);
    require(s.to_pitch >= layout.width && s.from_pitch >= layout.depth, "rows of a tile hold whole fragments");
    check_span(s.to, 0, 0, s.tile * s.to_pitch - 1);
    check_span(s.from, 0, 0, s.tile * s.from_pitch - 1);
    const SharedBuffer &a = task_.shared[static_cast<std::size_t>(s.to)], &b = task_.shared[static_cast<std::size_t>(s.from)];
    const bool apart = a.offset + a.size <= b.offset || b.offset + b.size <= a.offset;
    require(apart || layout.depth <= summands_of_pass, "a product in passes writes over what it still has to read");
    for (const SharedId id : {s.to, s.from}) require(task_.shared[static_cast<std::size_t>(id)].offset % 2 == 0, "a tile starts at a pair");
}

}  // namespace flashtp
