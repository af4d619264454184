// The ring, windows over index arrays, and additions in bulk. Without threads everything happens at once and waiting is nothing.
#include <algorithm>

#include <fmt/format.h>

#include "codegen/task_printer.hpp"
#include "ir/error.hpp"

namespace flashtp {

// ---- the ring -----------------------------------------------------------------------------------------------------------------

bool TaskPrinter::issued_by_one_lane(const KernelStatement& s) const {
    if (!dialect_.threads || task_.copy != CopyMechanism::barrier) return false;
    const auto* copy = std::get_if<AsyncCopy>(&s.node);
    return std::holds_alternative<StageFill>(s.node) || std::holds_alternative<IntPut>(s.node) || (copy && copy->bulk);
}

void TaskPrinter::operator()(const RingBegin&) {
    if (!dialect_.threads) return;
    // With element copies every lane arrives as well as the lane that announces the bytes.
    const int arrivals = task_.element_copies ? 1 + kernel_.lanes : 1;
    if (task_.copy == CopyMechanism::barrier)
        out_.line(fmt::format("warp::init_barriers<{}, {}>(barriers, lane);", kernel_.stages, arrivals));
    if (task_.copy == CopyMechanism::groups) out_.line("int in_flight = 0;");
}

void TaskPrinter::operator()(const StageFill& s) {
    filling_ = s.stage;
    if (dialect_.threads && task_.copy == CopyMechanism::barrier)
        out_.line(fmt::format("warp::expect({}, {});", stage_barrier(s.stage), sum(s.bulk_bytes, Place::shared)));
}

void TaskPrinter::operator()(const AsyncCopy& s) {
    const std::string to = pointer(Place::shared, s.shared, s.shared_base),
                      from = pointer(Place::global, s.global, s.global_base);
    if (!dialect_.threads || task_.copy == CopyMechanism::plain)
        return for_elements(s.count, fmt::format("{} = {};", copied(Place::shared, s.shared, s.shared_base).lvalue,
                                                 copied(Place::global, s.global, s.global_base).lvalue));
    if (!s.bulk) {
        const int team = over_teams_ ? kernel_.lanes / over_teams_->teams : kernel_.lanes;
        return out_.line(fmt::format("warp::copy_elements<{}, {}, {}>({}, {}, lane);", s.count, s.vector, team, to, from));
    }
    if (task_.copy != CopyMechanism::barrier || filling_ < 0)
        internal_error("kernel {}: a bulk copy outside a ring of barriers", kernel_.name);
    const auto bytes = s.count * static_cast<std::int64_t>(size_of(buffer(s.global).dtype));
    out_.line(fmt::format("warp::copy_bulk({}, {}, {}, {});", to, from, bytes, stage_barrier(filling_)));
}

void TaskPrinter::operator()(const StageCommit& s) {
    if (!dialect_.threads) return;
    if (task_.copy == CopyMechanism::groups) out_.line("warp::commit_group(in_flight);");
    if (task_.copy == CopyMechanism::barrier && task_.element_copies)
        out_.line(fmt::format("warp::arrive_when_copied({});", stage_barrier(s.stage)));
}

void TaskPrinter::operator()(const StageWait& s) {
    if (!dialect_.threads) return;
    switch (task_.copy) {
    case CopyMechanism::barrier: out_.line(fmt::format("warp::wait({}, {});", stage_barrier(s.stage), name(s.phase))); break;
    case CopyMechanism::groups: out_.line(fmt::format("warp::wait_oldest_group<{}>(in_flight);", kernel_.stages)); break;
    case CopyMechanism::plain: out_.line("__syncwarp();"); break;
    }
}

void TaskPrinter::operator()(const StageNext& s) {
    const std::string& stage = name(s.stage);
    const std::string flip = s.phase ? fmt::format(" {} ^= 1;", name(*s.phase)) : "";
    out_.line(fmt::format("if (++{0} == {1}) {{ {0} = 0;{2} }}", stage, kernel_.stages, flip));
}

// All lanes take part in what windows do; then each team copies for its own iteration.
void TaskPrinter::over_teams(const For& s) {
    over_teams_ = &s;
    const bool rounds = s.rounds > 1;
    if (rounds) out_.verbatim("#pragma unroll\n");
    if (rounds) out_.open(fmt::format("for (int round = 0; round < {}; round += {})", s.teams * s.rounds, s.teams));
    set_int(s.var, fmt::format("lane / {}{}", kernel_.lanes / s.teams, rounds ? " + round" : ""));
    const auto is_read = [](const KernelStatement& statement) { return std::holds_alternative<WindowRead>(statement.node); };
    const auto copies = std::ranges::find_if_not(s.body, is_read);
    block({s.body.begin(), copies});
    out_.open(fmt::format("if ({} < {})", name(s.var), sum(s.end)));
    for (auto it = copies; it != s.body.end(); ++it) std::visit(*this, it->node);
    out_.close();
    if (rounds) out_.close();
    over_teams_ = nullptr;
}

// ---- windows ------------------------------------------------------------------------------------------------------------------

void TaskPrinter::operator()(const WindowOpen& s) {
    const std::string& window = windows_[static_cast<std::size_t>(s.window)];
    const std::string& array = buffers_[static_cast<std::size_t>(s.buffer)];
    if (!dialect_.threads) {
        out_.line(fmt::format("{}{} = {};", declare_once(window) ? "const int* " : "", window, array));
        return;
    }
    const std::string arguments = fmt::format("{}, {}, {}, lane", array, sum(s.begin), sum(s.end));
    out_.line(declare_once(window) ? fmt::format("warp::Window {}({});", window, arguments)
                                   : fmt::format("{} = warp::Window({});", window, arguments));
}

// Neighbouring reads at one position share the branch that reads further ahead.
void TaskPrinter::operator()(const WindowRead& s) {
    const std::string& window = windows_[static_cast<std::size_t>(s.window)];
    const std::string position = sum(s.position);
    if (!dialect_.threads) return set_int(s.var, fmt::format("{0} ? {0}[{1}] : {1}", window, position));
    set_int(s.var, fmt::format("{}.at({})", window, position));
    read_windows_.push_back(s.window);
}

void TaskPrinter::advance_windows(const Affine& position) {
    if (read_windows_.empty()) return;
    const std::string& any = windows_[static_cast<std::size_t>(read_windows_.front())];
    const int step = over_teams_ ? over_teams_->teams : 1;
    std::string first = sum(position);
    if (over_teams_) first += fmt::format(" - {}{}", name(over_teams_->var), over_teams_->rounds > 1 ? " + round" : "");
    out_.open(fmt::format("if ({}.ends<{}>({}))", any, step, first));
    for (const int w : read_windows_) out_.line(fmt::format("{}.advance<{}>({}, lane);", windows_[static_cast<std::size_t>(w)], step, first));
    out_.close();
    read_windows_.clear();
}

void TaskPrinter::operator()(const PartOfEdges& s) {
    if (dialect_.threads) out_.line(fmt::format("if (!part.narrow({}, {})) return warp::zeros_ready();", name(s.begin), name(s.end)));
}

void TaskPrinter::operator()(const RangeNumber& s) {
    if (!dialect_.threads) internal_error("kernel {}: ranges of rows have numbers on a GPU only", kernel_.name);
    set_int(s.var, fmt::format("warp::uniform(static_cast<int>(blockIdx.x) * {} + static_cast<int>(threadIdx.x) / 32)", kernel_.warps_per_block));
}

// ---- additions in bulk --------------------------------------------------------------------------------------------------------

void TaskPrinter::operator()(const BulkReduce& s) {
    const std::string from = pointer(Place::shared, s.shared, s.shared_base),
                      to = pointer(Place::global, s.global, s.global_base);
    const bool stores = s.mode == StoreMode::store;
    if (dialect_.threads)
        out_.line(fmt::format("warp::{}_bulk<{}, {}>({}, {});", stores ? "store" : "add", s.count, s.pending, to, from));
    else
        for_elements(s.count, fmt::format("*({} + i) {} *({} + i);", to, stores ? "=" : "+=", from));
}

void TaskPrinter::operator()(const BulkEnd&) {
    if (dialect_.threads) out_.line("warp::end_bulk();");
}

void TaskPrinter::operator()(const ZerosReady&) {
    if (dialect_.threads) out_.line("warp::zeros_ready();");
}

void TaskPrinter::operator()(const SyncWarp&) {
    if (!dialect_.threads) return;
    if (copying_) out_.line("warp::wait_copied();");
    copying_ = false;
    out_.line("__syncwarp();");
}

}  // namespace flashtp
