#include "compiler/place_in_loop.hpp"

#include <algorithm>
#include <limits>
#include <optional>

#include "compiler/visit_registers.hpp"

namespace flashtp {

namespace {

constexpr int never = std::numeric_limits<int>::max();
/// Registers that moving components between lanes takes beside the components.
constexpr int shuffle_registers = 3;

void add_once(std::vector<RegId>& ids, RegId id) {
    if (std::ranges::find(ids, id) == ids.end()) ids.push_back(id);
}

struct Mentions {
    std::vector<RegId> reads, writes;
};
Mentions mentions_of(const KernelStatement& statement) {
    Mentions m;
    visit_registers(statement, [&](RegId id) { add_once(m.reads, id); }, [&](RegId id) { add_once(m.writes, id); });
    return m;
}

/// Whether the components can be read again, one at a time, by one instruction each.
bool is_plain_input(const Kernel& kernel, const Load& load) {
    const Access& from = load.from;
    if (from.place != Place::global || from.table || from.lane_stride > 1 || from.lane_stride < 0 || from.active < kernel.lanes) return false;
    const Buffer& buffer = kernel.buffers[static_cast<std::size_t>(from.buffer)];
    return buffer.operand && buffer.operand->role == Role::input && buffer.dtype == kernel.compute;
}

Access component_of(const Load& load, std::size_t k) {
    Access from = load.from;
    from.base += Affine(static_cast<std::int64_t>(k) * from.component_stride);
    from.component_stride = 1;
    return from;
}

struct Number {
    std::vector<int> reads;        ///< statements, in order
    std::size_t next = 0;          ///< of these
    std::optional<Access> source;  ///< the operand it can be read from again
    int slot = -1;                 ///< in scratch
    bool carried = false, resident = false;
    bool held = false;   ///< in a register
    bool saved = false;  ///< its source or slot has what the register holds
    int next_read() const { return next < reads.size() ? reads[next] : never; }
};

/// Sums of more sources than there are lanes are made in parts anyway.
Block in_parts(const Kernel& kernel, const Block& body) {
    Block result;
    const auto lanes = static_cast<std::size_t>(kernel.lanes);
    for (const KernelStatement& statement : body) {
        if (const auto* sum = std::get_if<LaneSum>(&statement.node); sum && sum->src.size() > lanes) {
            for (std::size_t at = 0; at < sum->src.size(); at += lanes) {
                const auto end = std::min(at + lanes, sum->src.size());
                emit(result, LaneSum{{sum->dst.begin() + at, sum->dst.begin() + end}, {sum->src.begin() + at, sum->src.begin() + end}});
            }
        } else if (const auto* store = std::get_if<ReduceStore>(&statement.node); store && store->src.size() > lanes) {
            for (std::size_t at = 0; at < store->src.size(); at += lanes) {
                ReduceStore part = *store;
                part.src = {store->src.begin() + at, store->src.begin() + std::min(at + lanes, store->src.size())};
                part.to.base += Affine(static_cast<std::int64_t>(at));
                emit(result, std::move(part));
            }
        } else {
            result.push_back(statement);
        }
    }
    return result;
}

class Placer {
  public:
    Placer(const Kernel& kernel, const KernelTask& task, const LoopRegisters& loop, const std::vector<int>& slots, int budget, Scratch& scratch)
        : kernel_(kernel), task_(task), budget_(budget), scratch_(scratch), values_(task.registers.size()) {
        for (const RegId id : loop.carried) {
            Number& v = values_[id];
            v.carried = v.saved = true;
            v.slot = slots[id];
        }
        for (const RegId id : loop.resident) hold(id), values_[id].resident = true;
    }

    Block run(const Block& body) {
        const Block parts = in_parts(kernel_, body);
        for (int i = 0; i < static_cast<int>(parts.size()); ++i)
            for (const RegId id : mentions_of(parts[i]).reads) values_[id].reads.push_back(i);
        for (const KernelStatement& statement : parts) place(statement), ++now_;
        for (RegId id = 0; id < static_cast<RegId>(values_.size()); ++id)
            if (values_[id].held && values_[id].carried) leave(id);
        return std::move(result_);
    }

  private:
    void place(const KernelStatement& statement) {
        const Mentions m = mentions_of(statement);
        for (const RegId id : m.reads) ++values_[id].next;
        const Load* const load = std::get_if<Load>(&statement.node);
        if (load && is_plain_input(kernel_, *load)) return postpone(*load);
        fetch(m.reads, takes_memory(statement));
        make_room(m.reads, registers_within(statement, m));
        result_.push_back(statement);
        for (const RegId id : m.reads)
            if (values_[id].held && values_[id].next_read() == never && std::ranges::find(m.writes, id) == m.writes.end()) leave(id);
        for (const RegId id : m.writes) keep(id, m.writes);
    }

    /// Instructions that can read one operand from memory.
    static bool takes_memory(const KernelStatement& statement) {
        return std::holds_alternative<Mul>(statement.node) || std::holds_alternative<Fma>(statement.node) ||
               std::holds_alternative<Move>(statement.node);
    }

    /// What an instruction sequence holds beside its operands. Components side by side in memory pass through as many vectors again.
    static int registers_within(const KernelStatement& statement, const Mentions& m) {
        if (std::holds_alternative<Load>(statement.node)) return 2 * static_cast<int>(m.writes.size());
        if (takes_memory(statement) || (m.reads.empty() && m.writes.empty())) return 0;
        return static_cast<int>(m.writes.size()) + shuffle_registers;
    }

    // Each component is read where it is needed.
    void postpone(const Load& load) {
        for (std::size_t k = 0; k < load.dst.size(); ++k) {
            Number& v = values_[load.dst[k]];
            v.source = component_of(load, k);
            v.saved = true;
        }
    }

    void fetch(const std::vector<RegId>& reads, bool memory_operand) {
        std::vector<RegId> missing;
        for (const RegId id : reads)
            if (!values_[id].held) missing.push_back(id);
        if (missing.empty()) return;
        RegId last = *std::ranges::max_element(missing, {}, [&](RegId id) { return values_[id].next_read(); });
        if (!memory_operand || worth_a_register(last, reads)) last = -1;
        for (const RegId id : missing) {
            if (id == last) continue;
            make_room(reads, 1);
            read_again(id);
            hold(id);
        }
        if (last >= 0) read_again(last);
    }

    bool worth_a_register(RegId id, const std::vector<RegId>& pinned) const {
        if (values_[id].next_read() == never) return false;
        const RegId victim = furthest(pinned);
        return held_ < budget_ || (victim >= 0 && distance(values_[id]) < distance(values_[victim]));
    }

    void read_again(RegId id) {
        const Number& v = values_[id];
        if (v.source) emit(result_, Load{{id}, *v.source, true});
        else emit(result_, Load{{id}, scratch_.access(v.slot)});
    }

    void hold(RegId id) {
        values_[id].held = true;
        ++held_;
    }

    void keep(RegId id, const std::vector<RegId>& pinned) {
        Number& v = values_[id];
        v.saved = false;
        v.source.reset();
        if (v.held && v.next_read() == never) return leave(id);
        if (v.held) return;
        const RegId victim = held_ < budget_ ? -1 : furthest(pinned);
        const bool full = held_ >= budget_ && (victim < 0 || distance(values_[victim]) < distance(v));
        if (v.next_read() == never || (full && can_save(id))) {
            if (v.carried || v.next_read() != never) save(id);
            return;
        }
        if (victim >= 0) leave(victim);
        hold(id);
    }

    // A word in scratch belongs to one lane: what one lane writes for all would need them to meet.
    bool can_save(RegId id) const { return values_[id].saved || !task_.registers[id].uniform; }

    /// Statements to the next read. What has to be saved first counts as half as far: it would leave by a store and come back by a load.
    double distance(const Number& v) const {
        if (v.next_read() == never) return never;
        return (v.next_read() - now_) * (v.saved ? 1.0 : 0.5);
    }

    RegId furthest(const std::vector<RegId>& pinned) const {
        RegId best = -1;
        for (RegId id = 0; id < static_cast<RegId>(values_.size()); ++id) {
            const Number& v = values_[id];
            if (!v.held || v.resident || !can_save(id) || std::ranges::find(pinned, id) != pinned.end()) continue;
            if (best < 0 || distance(v) > distance(values_[best])) best = id;
        }
        return best;
    }

    void make_room(const std::vector<RegId>& pinned, int count) {
        while (held_ + count > budget_) {
            const RegId victim = furthest(pinned);
            if (victim < 0) return;
            leave(victim);
        }
    }

    void leave(RegId id) {
        Number& v = values_[id];
        if (v.resident) return;
        if (!v.saved && (v.carried || v.next_read() != never)) save(id);
        v.held = false;
        --held_;
        if (v.next_read() == never && !v.carried && v.slot >= 0) scratch_.give_back(v.slot), v.slot = -1;
    }

    void save(RegId id) {
        Number& v = values_[id];
        if (v.slot < 0) v.slot = scratch_.take();
        emit(result_, Store{scratch_.access(v.slot), {id}, StoreMode::store});
        v.saved = true;
    }

    const Kernel& kernel_;
    const KernelTask& task_;
    int budget_, held_ = 0, now_ = 0;  ///< now: statements placed
    Scratch& scratch_;
    std::vector<Number> values_;
    Block result_;
};

/// Numbers of a body in registers at once, but for the carried ones; what can be read again is not there before its first use.
int pressure_of(const Kernel& kernel, const Block& body, const std::vector<bool>& carried) {
    std::vector<int> first(carried.size(), -1), last(carried.size(), -1), change(body.size() + 2, 0);
    for (int i = 0; i < static_cast<int>(body.size()); ++i) {
        const Mentions m = mentions_of(body[i]);
        const Load* const load = std::get_if<Load>(&body[i].node);
        if (load && is_plain_input(kernel, *load)) continue;
        for (const std::vector<RegId>* ids : {&m.reads, &m.writes})
            for (const RegId id : *ids) last[id] = i, first[id] = first[id] < 0 ? i : first[id];
    }
    for (std::size_t id = 0; id < carried.size(); ++id)
        if (first[id] >= 0 && !carried[id]) ++change[first[id]], --change[last[id]];
    int now = 0, most = 0;
    for (const int step : change) most = std::max(most, now += step);
    return most;
}

}  // namespace

LoopRegisters registers_of_loop(const Kernel& kernel, const KernelTask& task, const Block& body, const std::vector<bool>& outside,
                                int budget) {
    std::vector<int> mentioned(task.registers.size(), 0);
    for (const KernelStatement& statement : body) {
        const auto count = [&](RegId id) { ++mentioned[id]; };
        visit_registers(statement, count, count);
    }
    LoopRegisters loop;
    std::vector<bool> carried(task.registers.size(), false);
    for (RegId id = 0; id < static_cast<RegId>(mentioned.size()); ++id)
        if (mentioned[id] && outside[id]) loop.carried.push_back(id), carried[id] = true;
    const int room = budget - pressure_of(kernel, body, carried);
    loop.fits = static_cast<int>(loop.carried.size()) <= room;
    std::vector<RegId> candidates = loop.carried;
    std::stable_sort(candidates.begin(), candidates.end(), [&](RegId a, RegId b) { return mentioned[a] > mentioned[b]; });
    for (const RegId id : candidates)
        if (task.registers[id].uniform || static_cast<int>(loop.resident.size()) < room) loop.resident.push_back(id);
    return loop;
}

Block place_in_loop(const Kernel& kernel, const KernelTask& task, const Block& body, const LoopRegisters& loop,
                    const std::vector<int>& slots, int budget, Scratch& scratch) {
    return Placer(kernel, task, loop, slots, budget, scratch).run(body);
}

}  // namespace flashtp
