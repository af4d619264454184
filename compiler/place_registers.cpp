#include "compiler/place_registers.hpp"

#include <algorithm>

#include "compiler/place_in_loop.hpp"
#include "compiler/visit_registers.hpp"

namespace flashtp {

namespace {

/// Left for results that are there before an operand's register is free, for what code generation moves by a few instructions, and, where
/// there are many, for masks of shuffles.
int spare_registers(int registers) { return registers > 16 ? 10 : 4; }

bool is_straight(const Block& body) {
    return std::ranges::none_of(body, [](const KernelStatement& s) {
        return std::holds_alternative<For>(s.node) || std::holds_alternative<If>(s.node);
    });
}

class TaskPlacer {
  public:
    TaskPlacer(const Kernel& kernel, KernelTask& task)
        : kernel_(kernel), task_(task), budget_(kernel.target.registers_per_lane - spare_registers(kernel.target.registers_per_lane)),
          scratch_(kernel.lanes, static_cast<SharedId>(task.shared.size())), slots_(task.registers.size(), -1) {}

    /// Elements of the task's own memory.
    std::int64_t run() {
        count(task_.body, 1);
        find_loops(task_.body);
        if (loops_.empty()) return 0;
        task_.body = rewrite(task_.body);
        if (scratch_.elements() == 0) return 0;
        task_.shared.push_back({"scratch", 0, scratch_.elements()});
        return scratch_.elements();
    }

  private:
    struct Loop {
        const Block* body;
        LoopRegisters registers;
    };

    void count(const Block& block, int step) {
        mentions_.resize(task_.registers.size(), 0);
        for (const KernelStatement& statement : block) {
            const auto add = [&](RegId id) { mentions_[id] += step; };
            visit_registers(statement, add, add);
            if (const auto* loop = std::get_if<For>(&statement.node)) count(loop->body, step);
            if (const auto* branch = std::get_if<If>(&statement.node)) count(branch->body, step);
        }
    }

    void find_loops(const Block& block) {
        for (const KernelStatement& statement : block) {
            if (const auto* branch = std::get_if<If>(&statement.node)) find_loops(branch->body);
            const auto* loop = std::get_if<For>(&statement.node);
            if (!loop) continue;
            if (is_straight(loop->body)) add_loop(loop->body);
            else find_loops(loop->body);
        }
    }

    void add_loop(const Block& body) {
        count(body, -1);
        std::vector<bool> outside;
        for (const int mentions : mentions_) outside.push_back(mentions > 0);
        count(body, 1);
        LoopRegisters registers = registers_of_loop(kernel_, task_, body, outside, budget_);
        if (registers.fits) return;
        // What another loop keeps in memory is there for this one, too.
        std::erase_if(registers.resident, [&](RegId id) { return slots_[id] >= 0; });
        for (const RegId id : registers.carried)
            if (slots_[id] < 0 && std::ranges::find(registers.resident, id) == registers.resident.end()) slots_[id] = scratch_.take();
        for (Loop& other : loops_) std::erase_if(other.registers.resident, [&](RegId id) { return slots_[id] >= 0; });
        loops_.push_back({&body, std::move(registers)});
    }

    Block rewrite(const Block& block) {
        for (const Loop& loop : loops_)
            if (loop.body == &block) return place_in_loop(kernel_, task_, block, loop.registers, slots_, budget_, scratch_);
        Block result;
        for (const KernelStatement& statement : block) {
            KernelStatement changed = statement;
            if (const auto* loop = std::get_if<For>(&statement.node)) std::get<For>(changed.node).body = rewrite(loop->body);
            if (const auto* branch = std::get_if<If>(&statement.node)) std::get<If>(changed.node).body = rewrite(branch->body);
            through_memory(std::move(changed), result);
        }
        return result;
    }

    // Outside the loops what lives in memory passes through registers of its own.
    void through_memory(KernelStatement statement, Block& block) {
        std::vector<std::pair<RegId, RegId>> fresh;
        const auto replace = [&](RegId& id, bool read) {
            if (slots_[id] < 0) return;
            const auto known = std::ranges::find(fresh, id, &std::pair<RegId, RegId>::first);
            if (known != fresh.end()) return void(id = known->second);
            const auto copy = static_cast<RegId>(task_.registers.size());
            task_.registers.push_back(task_.registers[id]);
            slots_.push_back(-1);
            task_.registers.back().name += "_at";
            if (read) emit(block, Load{{copy}, scratch_.access(slots_[id])});
            fresh.emplace_back(id, copy);
            id = copy;
        };
        std::vector<std::pair<RegId, int>> written;
        visit_registers(
            statement, [&](RegId& id) { replace(id, true); },
            [&](RegId& id) {
                const int slot = slots_[id];
                replace(id, false);
                if (slot >= 0) written.emplace_back(id, slot);
            });
        block.push_back(std::move(statement));
        for (const auto& [id, slot] : written) emit(block, Store{scratch_.access(slot), {id}, StoreMode::store});
    }

    const Kernel& kernel_;
    KernelTask& task_;
    int budget_;
    Scratch scratch_;
    std::vector<int> mentions_, slots_;  ///< by register; a slot in scratch, or -1
    std::vector<Loop> loops_;
};

}  // namespace

Kernel place_registers(Kernel kernel) {
    std::int64_t most = 0;
    std::vector<KernelTask> tasks = kernel.tasks;
    for (KernelTask& task : tasks) most = std::max(most, TaskPlacer(kernel, task).run());
    kernel.tasks = std::move(tasks);
    kernel.shared_elements = most;
    return kernel;
}

}  // namespace flashtp
