#include <algorithm>

#include <fmt/format.h>

#include "ir/interpret_memory.hpp"

namespace flashtp::interpreter {

void SharedState::reset(const KernelTask& task) {
    copy_ = task.copy;
    words_.assign(static_cast<std::size_t>(kernel_.shared_elements), {});
    ring_.assign(static_cast<std::size_t>(kernel_.stages), {});
    committed_.clear();
    ring_open_ = false;
    filling_ = no_stage;
    epoch_ = 1;
    bulk_issued_ = bulk_finished_ = bulk_free_ = 0;
}

void SharedState::check_finished(const Site& site) const {
    for (std::size_t n = 0; n < ring_.size(); ++n)
        if (ring_[n].state == Stage::filling || ring_[n].state == Stage::committed)
            site.fail(fmt::format("the warp ends while stage {} is in flight", n));
    if (bulk_finished_ != bulk_issued_) site.fail("the warp ends while a bulk reduction may still read its shared memory");
}

std::size_t SharedState::locate(const Site& site, const SharedAccess& a) const {
    const SharedBuffer& s = site.task->shared[static_cast<std::size_t>(a.buffer)];
    if (a.index < 0 || a.index >= s.size)
        site.fail(
            fmt::format("{}: element {} of shared {} is out of range, it has {}", lane_text(a.lane), a.index, s.name, s.size));
    return static_cast<std::size_t>(s.offset + a.index);
}

namespace {

std::string word_text(const Site& site, const SharedAccess& a) {
    return fmt::format("shared {}[{}]", site.task->shared[static_cast<std::size_t>(a.buffer)].name, a.index);
}

}  // namespace

std::string SharedState::author_text(const Word& w) {
    return w.author == Author::lane ? fmt::format("lane {}", w.writer) : std::string("some lane");
}

/// A copy of the stage's current fill that no StageWait has made visible.
bool SharedState::in_flight(const Word& w) const {
    if (w.author != Author::stage) return false;
    const Stage& stage = ring_[static_cast<std::size_t>(w.writer)];
    return stage.fills == w.fill && stage.state != Stage::readable;
}

void SharedState::check_readable(const Site& site, const Word& w, const SharedAccess& a) const {
    const auto who = [&] { return fmt::format("{} reads {}", lane_text(a.lane), word_text(site, a)); };
    if (w.author == Author::nobody) site.fail(who() + ", which nobody has written");
    if (w.author == Author::stage) {
        if (in_flight(w)) site.fail(fmt::format("{} of stage {} before StageWait", who(), w.writer));
        if (ring_[static_cast<std::size_t>(w.writer)].fills != w.fill)
            site.fail(fmt::format("{}, which the last fill of stage {} left out", who(), w.writer));
        return;
    }
    const bool own = w.author == Author::lane && w.writer == a.lane;
    if (!own && w.write_epoch == epoch_)
        site.fail(fmt::format("{}, which {} has written, without SyncWarp in between", who(), author_text(w)));
}

std::size_t SharedState::read(const Site& site, const SharedAccess& a) {
    const std::size_t at = locate(site, a);
    Word& w = words_[at];
    check_readable(site, w, a);
    const auto lane = static_cast<std::int16_t>(a.lane);
    w.reader = w.read_epoch == epoch_ && w.reader != lane ? several_readers : lane;
    w.read_epoch = epoch_;
    return at;
}

std::size_t SharedState::check_write(const Site& site, const SharedAccess& a) const {
    const std::size_t at = locate(site, a);
    const Word& w = words_[at];
    const auto who = [&] { return fmt::format("{} writes {}", lane_text(a.lane), word_text(site, a)); };
    if (in_flight(w)) site.fail(fmt::format("{}, which a copy to stage {} fills", who(), w.writer));
    const bool by_lanes = w.author == Author::lane || w.author == Author::lanes;
    const bool own = w.author == Author::lane && w.writer == a.lane;
    if (by_lanes && !own && w.write_epoch == epoch_)
        site.fail(fmt::format("{}, which {} has written, without SyncWarp in between", who(), author_text(w)));
    if (w.read_epoch == epoch_ && w.reader != a.lane)
        site.fail(fmt::format("{}, which {} reads, without SyncWarp in between", who(),
                              w.reader == several_readers ? "another lane" : lane_text(w.reader)));
    if (w.bulk_group > bulk_free_) site.fail(who() + ", which a bulk reduction may still read");
    return at;
}

/// check_write has passed for all lanes, so another lane's write in this epoch is one of this statement.
std::size_t SharedState::write(const Site& site, const SharedAccess& a, bool adding) {
    const std::size_t at = locate(site, a);
    Word& w = words_[at];
    const bool met = w.author != Author::nobody && w.author != Author::stage && w.write_epoch == epoch_ &&
                     !(w.author == Author::lane && w.writer == a.lane);
    if (met && !adding) site.fail(fmt::format("{} and another lane store to {}", lane_text(a.lane), word_text(site, a)));
    w.author = met || a.lane == some_lane ? Author::lanes : Author::lane;
    w.writer = static_cast<std::int16_t>(a.lane);
    w.write_epoch = epoch_;
    return at;
}

void SharedState::ring_begin(const Site& site) {
    if (ring_open_) site.fail("the ring begins twice");
    ring_open_ = true;
}

std::size_t SharedState::stage_at(const Site& site, std::int64_t stage) const {
    if (!ring_open_) site.fail("a stage is used before RingBegin");
    if (stage < 0 || stage >= kernel_.stages) site.fail(fmt::format("stage {} of {}", stage, kernel_.stages));
    return static_cast<std::size_t>(stage);
}

void SharedState::stage_fill(const Site& site, std::int64_t stage, std::int64_t bulk_bytes) {
    const std::size_t at = stage_at(site, stage);
    Stage& s = ring_[at];
    if (filling_ != no_stage) site.fail(fmt::format("stage {} is filled before stage {} is committed", stage, filling_));
    if (s.state == Stage::committed) site.fail(fmt::format("stage {} is refilled before StageWait", stage));
    s = {Stage::filling, bulk_bytes, 0, s.fills + 1};
    filling_ = at;
}

void SharedState::check_copy_allowed(const Site& site) const {
    if (filling_ == no_stage) site.fail("an asynchronous copy outside StageFill and StageCommit");
}

std::size_t SharedState::async_write(const Site& site, const SharedAccess& a) {
    const std::size_t at = locate(site, a);
    Word& w = words_[at];
    const auto who = [&] { return fmt::format("the copy to {} of stage {}", word_text(site, a), filling_); };
    if (in_flight(w)) site.fail(fmt::format("{} meets another copy to stage {}", who(), w.writer));
    if (w.read_epoch == epoch_) site.fail(who() + " comes while lanes still read it: no SyncWarp since");
    const bool by_lanes = w.author == Author::lane || w.author == Author::lanes;
    if (by_lanes && w.write_epoch == epoch_) site.fail(who() + " comes after a lane wrote it: no SyncWarp since");
    if (w.bulk_group > bulk_free_) site.fail(who() + " comes while a bulk reduction may still read it");
    w.author = Author::stage;
    w.writer = static_cast<std::int16_t>(filling_);
    w.fill = ring_[filling_].fills;
    return at;
}

/// Groups are counted: a commit with nothing to copy keeps the count where a fill was skipped.
void SharedState::stage_commit(const Site& site, std::int64_t stage) {
    const std::size_t at = stage_at(site, stage);
    Stage& s = ring_[at];
    if (filling_ == no_stage && copy_ == CopyMechanism::groups) return committed_.push_back(no_stage);
    if (filling_ != at) site.fail(fmt::format("stage {} is committed, but it is not being filled", stage));
    if (s.bulk_bytes != s.expected_bytes)
        site.fail(fmt::format("stage {} expects {} bytes of bulk copies and gets {}", stage, s.expected_bytes, s.bulk_bytes));
    s.state = Stage::committed;
    filling_ = no_stage;
    if (copy_ != CopyMechanism::barrier) committed_.push_back(at);
}

/// Barriers finish in any order and may be waited for again; groups finish in order and are counted, so each wait is for the oldest.
void SharedState::stage_wait(const Site& site, std::int64_t stage, std::int64_t phase) {
    const std::size_t at = stage_at(site, stage);
    Stage& s = ring_[at];
    const bool barrier = copy_ == CopyMechanism::barrier;
    if (s.state == Stage::empty) site.fail(fmt::format("StageWait for stage {}, which was never filled", stage));
    if (s.state == Stage::filling) site.fail(fmt::format("StageWait for stage {}, which is not committed", stage));
    if (s.state == Stage::readable && !barrier) site.fail(fmt::format("StageWait for stage {} twice", stage));
    if (barrier && phase != ((s.fills - 1) & 1))
        site.fail(fmt::format("StageWait for phase {} of stage {}, which is in phase {}", phase, stage, (s.fills - 1) & 1));
    if (!barrier && committed_.front() != at)
        site.fail(fmt::format("StageWait for stage {}, but {} was committed before it", stage,
                              committed_.front() == no_stage ? "nothing" : fmt::format("stage {}", committed_.front())));
    s.state = Stage::readable;
    if (!barrier) committed_.erase(committed_.begin());
}

void SharedState::bulk_wait(int pending) {
    const std::uint32_t open = std::min(bulk_issued_, static_cast<std::uint32_t>(pending));
    bulk_finished_ = std::max(bulk_finished_, bulk_issued_ - open);
}

std::size_t SharedState::bulk_read(const Site& site, const SharedAccess& a) {
    const std::size_t at = locate(site, a);
    Word& w = words_[at];
    check_readable(site, w, a);
    w.bulk_group = bulk_issued_;
    return at;
}

}  // namespace flashtp::interpreter
