#include "compiler/partial_sums.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "compiler/choose_schedule.hpp"

namespace flashtp {

namespace {

/// Calls visit(position) for every element of a row that the view reaches with its lane axis, if any, in a range.
template <class Visit>
void for_each_position(View view, int lane_axis, std::int64_t begin, std::int64_t end, Visit visit) {
    if (view.pair) {  // of both channels of a pair: any
        view.axes[0].extent = view.pair->multiplicity;
        view.pair.reset();
    } else if (lane_axis >= 0) {
        view.offset += begin * view.axes[static_cast<std::size_t>(lane_axis)].stride;
        view.axes[static_cast<std::size_t>(lane_axis)].extent = end - begin;
    }
    std::vector<std::int64_t> at(view.axes.size(), 0);
    for (bool more = true; more;) {
        for (int k = 0; k < view.components; ++k) visit(view.position(at, k));
        more = false;
        for (std::size_t axis = 0; axis < at.size() && !more; ++axis) {
            more = ++at[axis] < view.axes[axis].extent;
            if (!more) at[axis] = 0;
        }
    }
}

/// One output's parts.
class Parting {
  public:
    Parting(const std::vector<Nest>& nests, const EdgeProgram& program, OperandId output, int lanes)
        : nests_(nests), output_(program.operands[static_cast<std::size_t>(output)]), lanes_(lanes), name_(output_.name + "_parts") {
        while (program.find_operand(name_) >= 0) name_ += "_of_parts";
    }

    // The first copies of the row in which no writer before it meets this one; every chunk that meets others takes one.
    void add(const Written& w) {
        const std::int64_t count = chunks_meet(nests_[w.nest], w.value) ? chunks_of(w) : 1;
        std::int64_t first = 0;
        for (bool free = false; !free;) {
            free = true;
            for (const Place& p : places_) {
                const bool apart = first + count <= p.first || p.first + p.count <= first || !meet(nests_, w, p.writer);
                if (!apart) first = p.first + p.count, free = false;
            }
        }
        places_.push_back({w, first, count});
        copies_ = std::max(copies_, first + count);
    }

    PartialSum sum(const std::vector<StoreModes>& modes) const {
        PartialSum sum;
        sum.output = output_;
        sum.parts = {name_, copies_ * output_.width, output_.row, Role::output, false};
        // In the order of receivers, so that what a warp writes is one piece of memory.
        if (output_.row == Row::sender) sum.parts.row = Row::edge;
        sum.columns = columns();
        for (const Place& p : places_) sum.zeroed |= modes[p.writer.nest][p.writer.value] != StoreMode::store;
        return sum;
    }

    void place(PartialSums& all) const {
        for (const Place& p : places_) {
            PartPlace& place = all.places[p.writer.nest][p.writer.value];
            place.buffer = name_;
            place.pitch = copies_ * output_.width;
            place.offset = p.first * output_.width;
            place.chunk_step = p.count > 1 ? output_.width : 0;
        }
    }

  private:
    struct Place {
        Written writer;
        std::int64_t first, count;
    };

    std::int64_t chunks_of(const Written& w) const {
        const Task& task = nests_[w.nest].task();
        const std::int64_t chunk = std::int64_t{lanes_} * task.channels_per_lane;
        return (channels_of(task) + chunk - 1) / chunk;
    }

    /// By column, the copies that hold a part of it.
    std::vector<std::vector<int>> copies_by_column() const {
        std::vector<std::vector<int>> copies(static_cast<std::size_t>(output_.width));
        for (const Place& p : places_) {
            const Nest& nest = nests_[p.writer.nest];
            const Value& value = nest.program().values[p.writer.value];
            int lane_axis = -1;
            for (int axis = 0; axis < static_cast<int>(value.extents.size()); ++axis)
                if (nest.is_lane_axis(p.writer.value, axis)) lane_axis = axis;
            for_each_position(value.binding->view, lane_axis, nest.task().channel_begin, nest.task().channel_end, [&](std::int64_t at) {
                for (std::int64_t c = 0; c < p.count; ++c) copies[static_cast<std::size_t>(at)].push_back(static_cast<int>(p.first + c));
            });
        }
        for (std::vector<int>& of_column : copies) std::ranges::sort(of_column);
        return copies;
    }

    std::vector<PartColumns> columns() const {
        std::vector<PartColumns> runs;
        const std::vector<std::vector<int>> copies = copies_by_column();
        for (std::int64_t c = 0; c < output_.width; ++c) {
            const std::vector<int>& here = copies[static_cast<std::size_t>(c)];
            if (here.empty()) continue;
            const bool joins = !runs.empty() && runs.back().first + runs.back().count == c && runs.back().copies == here;
            if (!joins) runs.push_back({c, 0, here});
            ++runs.back().count;
        }
        return runs;
    }

    const std::vector<Nest>& nests_;
    const Operand& output_;
    int lanes_;
    std::string name_;  ///< of the parts
    std::vector<Place> places_;
    std::int64_t copies_ = 0;
};

}  // namespace

PartialSums keep_parts(const EdgeProgram& program, const std::vector<Nest>& nests, int lanes, std::vector<StoreModes>& modes) {
    PartialSums all;
    all.places.resize(nests.size());
    const std::vector<Written> written = written_outputs(nests);
    for (OperandId o = 0; o < static_cast<OperandId>(program.operands.size()); ++o) {
        const auto is_of = [&](const Written& w) { return nests[w.nest].program().values[w.value].binding->operand == o; };
        const auto meets = [&](const Written& w) { return is_of(w) && modes[w.nest][w.value] == StoreMode::atomic; };
        if (std::ranges::none_of(written, meets)) continue;
        Parting parting(nests, program, o, lanes);
        for (const Written& w : written) {
            if (!is_of(w)) continue;
            parting.add(w);
            const Nest& nest = nests[w.nest];
            const LoopMask grid = nest.find_loop(LoopKind::chunk) == 0 ? 1 : 0;
            const bool again = (nest.missing_loops(w.value) & ~grid) || nest.program().values[w.value].binding->view.pair;
            modes[w.nest][w.value] = again ? StoreMode::add : StoreMode::store;
        }
        all.sums.push_back(parting.sum(modes));
        parting.place(all);
    }
    return all;
}

std::int64_t most_ranges(const std::vector<PartialSum>& sums, DType dtype) {
    constexpr std::int64_t bytes = std::int64_t{64} << 20, most = ranges_of_parts * ranges_of_parts;
    std::int64_t widest = 0;
    for (const PartialSum& sum : sums)
        if (sum.by_range()) widest = std::max(widest, sum.parts.width);
    return widest == 0 ? 0 : std::clamp<std::int64_t>(bytes / (widest * static_cast<std::int64_t>(size_of(dtype))), 1, most);
}

EdgeProgram sum_program(const PartialSum& sum) {
    const bool by_sender = sum.output.row == Row::sender;
    EdgeProgram program;
    program.operands = {sum.parts, sum.output};
    program.operands[0].role = Role::input;
    program.operands[0].row = Row::edge;
    program.operands[1].row = by_sender ? Row::receiver : sum.by_range() ? Row::shared : Row::edge;
    for (int n = 0; n < static_cast<int>(sum.columns.size()); ++n) {
        const PartColumns& columns = sum.columns[static_cast<std::size_t>(n)];
        const auto add_value = [&](const std::string& name, OperandId operand, std::int64_t offset) {
            const View view{offset, {{columns.count, 1}}, 1, 1, {}};
            program.values.push_back({name, {columns.count}, 1, program.operands[static_cast<std::size_t>(operand)].row, Binding{operand, view}});
            return static_cast<ValueId>(program.values.size()) - 1;
        };
        const ValueId to = add_value(fmt::format("sum{}", n), 1, columns.first);
        for (const int copy : columns.copies) {
            const ValueId from = add_value(fmt::format("part{}_{}", n, copy), 0, copy * sum.output.width + columns.first);
            program.statements.push_back({n, {to, "u"}, {from, "u"}, {}, {{0, 0, 0, 1.0}}});
        }
    }
    return program;
}

// Memory bound: a few loads in flight a lane, and rows of a sender's edges through the ring.
Schedule sum_schedule(const PartialSum& sum, const Target& target, int lanes) {
    constexpr int most_channels_per_lane = 4, stage_bytes = 4096;
    Schedule schedule;
    schedule.receiver_stationary = sum.output.row == Row::sender;
    if (schedule.receiver_stationary) schedule.ring = {2, target.copy, stage_bytes};
    schedule.rows_per_warp = schedule.receiver_stationary ? 1 : 4;
    schedule.reason = fmt::format("adds up the parts of {} in a fixed order", sum.output.name);
    for (int n = 0; n < static_cast<int>(sum.columns.size()); ++n) {
        const std::int64_t channels = sum.columns[static_cast<std::size_t>(n)].count;
        Task task;
        task.paths = {n};
        task.lane_axis = 0;
        task.loops = {{LoopKind::chunk}, {LoopKind::edge}};
        if (schedule.receiver_stationary) task.loops.insert(task.loops.begin() + 1, {LoopKind::receiver});
        task.channels_per_lane = channels_per_lane(channels, lanes, most_channels_per_lane);
        add_chunks(schedule, task, channels, lanes);
    }
    return schedule;
}

}  // namespace flashtp
