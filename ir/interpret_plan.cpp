#include "ir/interpret_plan.hpp"

#include <bit>
#include <map>

namespace flashtp::interpreter {
namespace {

class Planner {
  public:
    Planner(const Kernel& kernel, const KernelTask& task) {
        plan_.kernel = &kernel;
        plan_.task = &task;
    }

    Plan take() && { return std::move(plan_); }

    void block(const Block& statements) {
        for (const KernelStatement& s : statements) {
            at_ = &s;
            std::visit(*this, s.node);
        }
    }

    void operator()(const Comment&) {}
    void operator()(const Move& s) { arithmetic({Arithmetic::move, s.dst, row(s.src), 0, 0}); }
    void operator()(const Mul& s) { arithmetic({Arithmetic::mul, s.dst, row(s.a), row(s.b), 0}); }
    void operator()(const Fma& s) { arithmetic({Arithmetic::fma, s.dst, row(s.a), row(s.b), row(s.c)}); }

    void operator()(const For& s) {
        const std::size_t head = plan_.steps.size(), slot = plan_.loops++;
        const KernelStatement* source = at_;
        step(LoopHead{&s, slot, 0});
        block(s.body);
        at_ = source;
        step(LoopTail{&s, slot, head + 1});
        std::get<LoopHead>(plan_.steps[head]).exit = plan_.steps.size();
        run_open_ = false;
    }
    void operator()(const If& s) {
        const std::size_t head = plan_.steps.size();
        step(Branch{&s, 0});
        block(s.body);
        std::get<Branch>(plan_.steps[head]).exit = plan_.steps.size();
        run_open_ = false;  // what follows is a jump's target
    }
    template <class Node>
    void operator()(const Node& s) {
        step(&s);
    }

  private:
    void step(Step s) {
        plan_.steps.push_back(std::move(s));
        plan_.sources.push_back(at_);
        run_open_ = false;
    }
    void arithmetic(Arithmetic a) {
        const std::size_t at = plan_.arithmetic.size();
        if (!run_open_) step(ArithmeticRun{at, at});
        run_open_ = true;
        plan_.arithmetic.push_back(a);
        std::get<ArithmeticRun>(plan_.steps.back()).end = at + 1;
    }
    int row(const Arg& arg) {
        if (const RegId* id = std::get_if<RegId>(&arg)) return *id;
        const double value = std::get<double>(arg);
        const int next = static_cast<int>(plan_.task->registers.size() + plan_.literals.size());
        const auto [entry, added] = literal_rows_.emplace(std::bit_cast<std::uint64_t>(value), next);
        if (added) plan_.literals.push_back(value);
        return entry->second;
    }

    Plan plan_{};
    const KernelStatement* at_ = nullptr;
    bool run_open_ = false;
    std::map<std::uint64_t, int> literal_rows_;  ///< by bits: 0 and -0 differ
};

}  // namespace

Plan make_plan(const Kernel& kernel, const KernelTask& task) {
    Planner planner(kernel, task);
    planner.block(task.body);
    return std::move(planner).take();
}

}  // namespace flashtp::interpreter
