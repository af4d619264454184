// Loads, stores, copies and sums over lanes.
#include <algorithm>

#include <fmt/format.h>

#include "codegen/task_printer.hpp"

namespace flashtp {

namespace {

std::string plus(std::string text, std::int64_t constant) {
    if (constant != 0) text += fmt::format(" {} {}", constant < 0 ? '-' : '+', constant < 0 ? -constant : constant);
    return text;
}

}  // namespace

// ---- addresses ----------------------------------------------------------------------------------------------------------------
// The lane's part stands first and constants last: what does not change in a loop is a prefix that the compiler hoists, and what is
// constant becomes the offset of the instruction.

std::string TaskPrinter::lane_part(const Access& a) const {
    if (a.lane_stride == 0) return {};
    if (!a.table) return a.lane_stride == 1 ? "lane" : fmt::format("lane * {}", a.lane_stride);
    const std::string base = sum(a.table_base);
    std::string entry = fmt::format("{}[{}lane]", buffers_[static_cast<std::size_t>(*a.table)], base == "0" ? "" : base + " + ");
    // The table may end at the last active lane.
    if (a.active < kernel_.lanes) entry = fmt::format("(lane < {} ? {} : 0)", a.active, entry);
    if (a.lane_stride == 1) return entry;
    return fmt::format("{}{} * {}", a.place == Place::global ? "(long long)" : "", entry, a.lane_stride);
}

TaskPrinter::Address TaskPrinter::address(const Access& a, bool uniform) const {
    const auto index = static_cast<std::size_t>(a.buffer);
    std::string text = a.place == Place::global ? buffers_[index] : shared_[index];
    if (a.stored) text = fmt::format("warp::stored<{}>({})", c_type(*a.stored), text);
    const std::string lane = uniform ? std::string() : lane_part(a), variable = terms(a.base, a.place);
    if (!lane.empty()) text += " + " + lane;
    if (!variable.empty()) text += " + " + variable;
    return {text, a.base.constant, a.component_stride};
}

TaskPrinter::Element TaskPrinter::element(const Address& a, std::int64_t component) const {
    const std::int64_t distance = a.constant + component * a.component_stride;
    if (a.start.find(' ') == std::string::npos) return {fmt::format("{}[{}]", a.start, distance), plus(a.start, distance)};
    const std::string pointer = plus(a.start, distance);
    return {"*(" + pointer + ")", pointer};
}

TaskPrinter::Address TaskPrinter::named(const Address& a, const Access& access, bool constant) {
    if (a.start.find(' ') == std::string::npos) return a;
    const std::string at = names_.unique("at");
    const DType type = access.place == Place::global ? buffer(access.buffer).dtype : access.stored.value_or(kernel_.compute);
    out_.line(fmt::format("{}{}* const {} = {};", constant ? "const " : "", c_type(type), at, a.start));
    return {at, a.constant, a.component_stride};
}

std::string TaskPrinter::pointer(Place place, int id, const Affine& base, int lane_stride) const {
    Access a;
    a.place = place;
    a.buffer = id;
    a.base = base;
    a.lane_stride = lane_stride;
    return element(address(a, lane_stride == 0), 0).pointer;
}

/// Element i of a copy that `for_elements` runs: with threads the lane takes it from its own first element.
TaskPrinter::Element TaskPrinter::copied(Place place, int id, const Affine& base) const {
    const std::string text = pointer(place, id, base, dialect_.threads ? 1 : 0) + " + i";
    return {"*(" + text + ")", text};
}

// ---- loads and stores ---------------------------------------------------------------------------------------------------------

std::string TaskPrinter::read(const Element& e, Place place, int id) const {
    if (!dialect_.threads || place == Place::shared || !buffer(id).streaming) return e.lvalue;
    return "warp::load_once(" + e.pointer + ")";
}

std::string TaskPrinter::write(const Element& e, Place place, int id, StoreMode mode, bool lanes_collide,
                               const std::string& v) const {
    const std::string atomic = fmt::format("warp::atomic_add({}, {});", e.pointer, v);
    if (dialect_.threads && (mode == StoreMode::atomic || (mode == StoreMode::add && lanes_collide))) return atomic;
    if (dialect_.threads && place == Place::global && added_by_parts(kernel_, buffer(id)))
        return fmt::format("if (part.split) {} else {}", atomic, own_write(e, place, id, mode, v));
    return own_write(e, place, id, mode, v);
}

/// Where no other warp writes.
std::string TaskPrinter::own_write(const Element& e, Place place, int id, StoreMode mode, const std::string& v) const {
    if (mode != StoreMode::store) return fmt::format("{} += {};", e.lvalue, v);
    if (dialect_.threads && place == Place::global && buffer(id).streaming)
        return fmt::format("warp::store_once({}, {});", e.pointer, v);
    if (place == Place::global && is_storage_only(buffer(id).dtype))
        return fmt::format("{} = {}({});", e.lvalue, c_type(buffer(id).dtype), v);
    return fmt::format("{} = {};", e.lvalue, v);
}

void TaskPrinter::operator()(const Load& s) {
    const bool one = uniform(s.dst.front());
    Address start = address(s.from, one);
    // In a loop over lanes the address depends on the lane and has no name.
    if (s.dst.size() > 1 && (one || dialect_.threads)) start = named(start, s.from, true);
    for (std::size_t k = 0; k < s.dst.size(); ++k) {
        std::string v = read(element(start, static_cast<std::int64_t>(k)), s.from.place, s.from.buffer);
        if (!one && s.from.active < kernel_.lanes)
            v = fmt::format("lane < {} ? {} : {}", s.from.active, v, c_literal(0, kernel_.compute));
        set_register(s.dst[k], v);
    }
}

void TaskPrinter::operator()(const Store& s) {
    const bool one = uniform(s.src.front());
    const bool lanes_collide = !one && (s.to.table || s.to.lane_stride == 0);
    Address start = address(s.to, one);
    if (s.src.size() > 1 && (one || dialect_.threads)) start = named(start, s.to, false);
    std::vector<std::string> lines;
    for (std::size_t k = 0; k < s.src.size(); ++k)
        lines.push_back(
            write(element(start, static_cast<std::int64_t>(k)), s.to.place, s.to.buffer, s.mode, lanes_collide, value(s.src[k])));

    std::string guard;
    if (!dialect_.threads && !one) guard = lane_loop(s.to.active);
    if (dialect_.threads && one) guard = "if (lane == 0) ";
    if (dialect_.threads && !one && s.to.active < kernel_.lanes) guard = fmt::format("if (lane < {}) ", s.to.active);
    if (guard.empty() || lines.size() == 1) {
        for (const std::string& line : lines) out_.line(guard + line);
        return;
    }
    guard.pop_back();
    out_.open(guard);
    for (const std::string& line : lines) out_.line(line);
    out_.close();
}

/// The body for i = 0 .. count - 1, spread over the lanes.
void TaskPrinter::for_elements(std::int64_t count, const std::string& body) {
    if (dialect_.threads)
        out_.line(fmt::format("warp::for_elements<{}>(lane, [&](int i) {{ {} }});", count, body));
    else
        out_.line(fmt::format("for (int i = 0; i < {}; ++i) {}", count, body));
}

void TaskPrinter::operator()(const Prefetch& s) {
    const std::string first = pointer(Place::global, s.buffer, s.base);
    const auto line = static_cast<std::int64_t>(64 / size_of(buffer(s.buffer).dtype));
    for (std::int64_t at = 0; at < s.count; at += line) {
        const std::string text = plus(first, at);
        out_.line(dialect_.threads ? fmt::format("asm volatile(\"prefetch.global.L2 [%0];\" ::\"l\"({}));", text)
                                   : fmt::format("__builtin_prefetch({}, {});", text, s.write ? 1 : 0));
    }
}

void TaskPrinter::operator()(const IntPut& s) {
    const std::string to = fmt::format("*({})", pointer(Place::shared, s.shared, s.at));
    const std::string bits = fmt::format(fmt::runtime(dialect_.int_as(kernel_.compute)), name(s.value));
    if (!dialect_.threads || (!over_teams_ && issued_by_one_lane({s}))) return out_.line(fmt::format("{} = {};", to, bits));
    const int team = over_teams_ ? kernel_.lanes / over_teams_->teams : kernel_.lanes;
    out_.line(fmt::format("if (lane % {} == 0) {} = {};", team, to, bits));
}

void TaskPrinter::operator()(const IntGet& s) {
    const std::string from = fmt::format("*({})", pointer(Place::shared, s.shared, s.at));
    set_int(s.var, fmt::format(fmt::runtime(dialect_.as_int(kernel_.compute)), from));
}

void TaskPrinter::operator()(const CopyLanes& s) {
    if (s.to_shared && dialect_.threads && kernel_.target.copy != CopyMechanism::plain) {
        copying_ = true;
        return out_.line(fmt::format("warp::copy_elements<{}, {}, {}>({}, {}, lane);", s.count, s.vector, kernel_.lanes,
                                     pointer(Place::shared, s.shared, s.shared_base), pointer(Place::global, s.global, s.global_base)));
    }
    const Element inner = copied(Place::shared, s.shared, s.shared_base), outer = copied(Place::global, s.global, s.global_base);
    if (s.to_shared)
        for_elements(s.count, fmt::format("{} = {};", inner.lvalue, read(outer, Place::global, s.global)));
    else
        for_elements(s.count, write(outer, Place::global, s.global, s.mode, false, inner.lvalue));
}

// ---- sums over lanes ----------------------------------------------------------------------------------------------------------

std::string TaskPrinter::list(const std::vector<RegId>& ids, std::size_t first, std::size_t count) const {
    std::string text;
    for (std::size_t k = first; k < first + count; ++k) text += (k == first ? "" : ", ") + value(ids[k]);
    return text;
}

void TaskPrinter::lane_sums(const LaneSum& s, std::size_t first, std::size_t count) {
    if (count == 1) return set_register(s.dst[first], fmt::format("warp::lane_sum({})", value(s.src[first])));
    const std::string array = names_.unique("sums");
    out_.line(fmt::format("{} {}[] = {{{}}};", c_type(kernel_.compute), array, list(s.src, first, count)));
    out_.line(fmt::format("warp::lane_sums({}, lane);", array));
    for (std::size_t k = 0; k < count; ++k) set_register(s.dst[first + k], fmt::format("{}[{}]", array, k));
}

void TaskPrinter::operator()(const LaneSum& s) {
    if (dialect_.threads) {
        for (std::size_t n = 0; n < s.src.size(); n += most_sums) lane_sums(s, n, std::min(most_sums, s.src.size() - n));
        return;
    }
    for (std::size_t k = 0; k < s.src.size(); ++k) {
        set_register(s.dst[k], c_literal(0, kernel_.compute));
        out_.line(fmt::format("{}{} += {};", lane_loop(kernel_.lanes), value(s.dst[k]), value(s.src[k])));
    }
}

void TaskPrinter::operator()(const LaneGet& s) {
    for (std::size_t k = 0; k < s.src.size(); ++k)
        set_register(s.dst[k], fmt::format("warp::of_lane({}, {})", value(s.src[k]), sum(s.lane)));
}

void TaskPrinter::operator()(const SpreadSums& s) {
    const std::string array = names_.unique("sums");
    out_.line(fmt::format("{} {}[] = {{{}}};", c_type(kernel_.compute), array, list(s.src, 0, s.src.size())));
    out_.line(fmt::format("warp::spread_sums({}, {}, lane, {});", value(s.dst), array, sum(s.first)));
}

void TaskPrinter::reduce_run(const ReduceStore& s, std::size_t first, std::size_t count) {
    Address start = address(s.to, true);
    start.constant += static_cast<std::int64_t>(first) * s.to.component_stride;
    const std::string type(c_type(kernel_.compute));
    const std::string pointer = element(start, 0).pointer + " + k";
    const std::string body = write({"*(" + pointer + ")", pointer}, s.to.place, s.to.buffer, s.mode, false, "sum");
    out_.open("");
    out_.line(fmt::format("{} sums[] = {{{}}};", type, list(s.src, first, count)));
    const std::string sum = fmt::format("[&](int k, {} sum) {{ {} }}", type, body);
    if (s.scratch >= 0)
        out_.line(fmt::format("warp::reduce_through({}, sums, lane, {});", shared_[static_cast<std::size_t>(s.scratch)], sum));
    else
        out_.line(fmt::format("warp::reduce(sums, lane, {});", sum));
    out_.close();
}

void TaskPrinter::operator()(const ReduceStore& s) {
    if (dialect_.threads) {
        for (std::size_t n = 0; n < s.src.size(); n += most_sums) reduce_run(s, n, std::min(most_sums, s.src.size() - n));
        return;
    }
    const Address start = address(s.to, true);
    for (std::size_t k = 0; k < s.src.size(); ++k) {
        out_.open("");
        out_.line(fmt::format("{} sum = 0;", c_type(kernel_.compute)));
        out_.line(fmt::format("{}sum += {};", lane_loop(kernel_.lanes), value(s.src[k])));
        out_.line(write(element(start, static_cast<std::int64_t>(k)), s.to.place, s.to.buffer, s.mode, false, "sum"));
        out_.close();
    }
}

}  // namespace flashtp
