#include "ir/interpret_warp.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace flashtp::interpreter {

template <class T>
Warp<T>::Warp(const Plan& plan, GlobalMemory& global)
    : plan_(plan), global_(global), shared_(*plan.kernel), lanes_(plan.kernel->lanes) {
    const KernelTask& task = *plan.task;
    const auto lanes = static_cast<std::size_t>(lanes_);
    site_ = {plan.kernel, plan.task, nullptr, std::vector<std::int64_t>(task.ints.size())};
    registers_.resize((task.registers.size() + plan.literals.size()) * lanes);
    for (std::size_t n = 0; n < plan.literals.size(); ++n)
        std::fill_n(row(static_cast<RegId>(task.registers.size() + n)), lanes, static_cast<T>(plan.literals[n]));
    words_.resize(static_cast<std::size_t>(plan.kernel->shared_elements));
    scratch_.resize(lanes);
    elements_.resize(lanes);
    loop_ends_.resize(plan.loops);
    windows_.resize(static_cast<std::size_t>(task.windows));
}

template <class T>
void Warp<T>::run(const WarpRange& range) {
    shared_.reset(*plan_.task);
    writer_ = range.writer;
    range_ = range;
    integer(int_chunk) = range.chunk;
    integer(int_row_begin) = range.row_begin;
    integer(int_row_end) = range.row_end;
    for (next_ = 0; next_ < plan_.steps.size();) {
        const std::size_t at = next_++;
        site_.at = plan_.sources[at];
        next_ = std::visit(*this, plan_.steps[at]);
    }
    site_.at = nullptr;
    shared_.check_finished(site_);
}

template <class T>
std::size_t Warp<T>::operator()(const ArithmeticRun& s) {
    run_arithmetic(plan_.arithmetic.data() + s.begin, plan_.arithmetic.data() + s.end, registers_.data(), lanes_);
    return next_;
}

template <class T>
std::size_t Warp<T>::operator()(const LoopHead& s) {
    integer(s.loop->var) = value(s.loop->begin);
    loop_ends_[s.slot] = value(s.loop->end);
    const int teams = s.loop->teams, rounds = s.loop->rounds;
    if (teams && loop_ends_[s.slot] - integer(s.loop->var) > teams * rounds)
        site_.fail(fmt::format("a loop over {} teams in {} rounds runs to {}", teams, rounds, loop_ends_[s.slot]));
    return integer(s.loop->var) < loop_ends_[s.slot] ? next_ : s.exit;
}

template <class T>
std::size_t Warp<T>::operator()(const LoopTail& s) {
    integer(s.loop->var) += s.loop->step;
    return integer(s.loop->var) < loop_ends_[s.slot] ? s.body : next_;
}

template <class T>
std::size_t Warp<T>::operator()(const Branch& s) {
    return value(s.condition->a) < value(s.condition->b) ? next_ : s.exit;
}

template <class T>
std::size_t Warp<T>::operator()(const IntLoad* s) {
    return set(s->var, global_.integer(site_, s->buffer, value(s->index), s->identity_if_null, some_lane));
}

template <class T>
std::size_t Warp<T>::operator()(const RingBegin*) {
    shared_.ring_begin(site_);
    return next_;
}

template <class T>
std::size_t Warp<T>::operator()(const StageFill* s) {
    shared_.stage_fill(site_, integer(s->stage), value(s->bulk_bytes));
    return next_;
}

template <class T>
std::size_t Warp<T>::operator()(const StageCommit* s) {
    shared_.stage_commit(site_, integer(s->stage));
    return next_;
}

template <class T>
std::size_t Warp<T>::operator()(const StageWait* s) {
    shared_.stage_wait(site_, integer(s->stage), s->phase >= 0 ? integer(s->phase) : 0);
    return next_;
}

template <class T>
std::size_t Warp<T>::operator()(const StageNext* s) {
    std::int64_t& stage = integer(s->stage);
    stage = (stage + 1) % plan_.kernel->stages;
    if (s->phase && stage == 0) integer(*s->phase) ^= 1;
    return next_;
}

template <class T>
std::size_t Warp<T>::operator()(const Prefetch* s) {
    const std::int64_t first = value(s->base);
    global_.check_exists(site_, s->buffer, first, some_lane);
    global_.check_exists(site_, s->buffer, first + s->count - 1, some_lane);
    return next_;
}

/// The lanes read ahead, up to the end: all of the range has to exist.
template <class T>
std::size_t Warp<T>::operator()(const WindowOpen* s) {
    const Window w{s->buffer, value(s->begin), value(s->end)};
    windows_[static_cast<std::size_t>(s->window)] = w;
    if (w.next < w.end) {
        global_.integer(site_, w.buffer, w.next, true, some_lane);
        global_.integer(site_, w.buffer, w.end - 1, true, some_lane);
    }
    return next_;
}

template <class T>
std::size_t Warp<T>::operator()(const WindowRead* s) {
    Window& w = windows_[static_cast<std::size_t>(s->window)];
    const std::int64_t position = value(s->position);
    if (position != w.next) site_.fail(fmt::format("window {} is read at {}, but {} is next", s->window, position, w.next));
    if (position >= w.end) site_.fail(fmt::format("window {} is read at {}, its end", s->window, position));
    ++w.next;
    return set(s->var, global_.integer(site_, w.buffer, position, true, some_lane));
}

template <class T>
std::size_t Warp<T>::operator()(const PartOfEdges* s) {
    integer(s->begin) = std::max(integer(s->begin), range_.edge_begin);
    integer(s->end) = std::max(integer(s->begin), std::min(integer(s->end), range_.edge_end));
    return range_.split && integer(s->begin) == integer(s->end) ? plan_.steps.size() : next_;
}

template <class T>
std::size_t Warp<T>::operator()(const RangeNumber* s) {
    if (range_.split) site_.fail("receivers are split");
    return set(s->var, range_.number);
}

template <class T>
std::size_t Warp<T>::operator()(const BulkEnd*) {
    shared_.bulk_wait(0);
    shared_.sync();
    return next_;
}

template <class T>
std::size_t Warp<T>::operator()(const SyncWarp*) {
    shared_.sync();
    return next_;
}

template Warp<float>::Warp(const Plan&, GlobalMemory&);
template Warp<double>::Warp(const Plan&, GlobalMemory&);
template void Warp<float>::run(const WarpRange&);
template void Warp<double>::run(const WarpRange&);

}  // namespace flashtp::interpreter
