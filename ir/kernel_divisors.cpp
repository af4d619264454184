#include "ir/kernel_divisors.hpp"

#include <numeric>

namespace flashtp {
namespace {

/// var takes values that `value` divides, where present, and else any.
struct Definition {
    IntId var;
    const Affine* value;
    std::int64_t also;  ///< a loop's step
};

/// Integers that do not exist are left out: verify reports them where they are used.
struct Collector {
    std::size_t ints;
    std::vector<Definition> definitions = {};

    void define(IntId var, const Affine* value, std::int64_t also = 0) {
        if (var >= 0 && static_cast<std::size_t>(var) < ints) definitions.push_back({var, value, also});
    }

    void block(const Block& statements) {
        for (const KernelStatement& s : statements) std::visit(*this, s.node);
    }
    void operator()(const IntLet& s) { define(s.var, &s.value); }
    void operator()(const IntSet& s) { define(s.var, &s.value); }
    void operator()(const IntLoad& s) { define(s.var, nullptr); }
    void operator()(const IntGet& s) { define(s.var, nullptr); }
    void operator()(const WindowRead& s) { define(s.var, nullptr); }
    void operator()(const RangeNumber& s) { define(s.var, nullptr); }
    void operator()(const PartOfEdges& s) { define(s.begin, nullptr), define(s.end, nullptr); }
    void operator()(const IntMin& s) {
        define(s.var, &s.a);
        define(s.var, &s.b);
    }
    void operator()(const StageNext& s) {
        define(s.stage, nullptr);
        if (s.phase) define(*s.phase, nullptr);
    }
    void operator()(const For& s) {
        define(s.var, &s.begin, s.step);
        block(s.body);
    }
    void operator()(const If& s) { block(s.body); }
    template <class Other>
    void operator()(const Other&) {}
};

}  // namespace

std::int64_t divisor_of(const Affine& a, const std::vector<std::int64_t>& int_divisors) {
    std::int64_t divisor = std::gcd(a.constant, std::int64_t{0});
    for (const auto& [variable, factor] : a.terms) {
        if (divisor == 1) break;
        const auto at = static_cast<std::size_t>(variable);
        divisor = std::gcd(divisor, at < int_divisors.size() ? factor * int_divisors[at] : 1);
    }
    return divisor;
}

/// Starts from "always 0" and lowers until nothing changes: integers of a loop may depend on themselves.
std::vector<std::int64_t> int_divisors(const KernelTask& task) {
    Collector found{task.ints.size()};
    found.block(task.body);
    std::vector<std::int64_t> divisors(task.ints.size(), 0);
    for (const IntId id : {int_chunk, int_row_begin, int_row_end}) divisors.at(static_cast<std::size_t>(id)) = 1;
    for (bool changed = true; changed;) {
        changed = false;
        for (const Definition& d : found.definitions) {
            std::int64_t& divisor = divisors.at(static_cast<std::size_t>(d.var));
            const std::int64_t value = d.value ? std::gcd(divisor_of(*d.value, divisors), d.also) : 1;
            const std::int64_t lower = std::gcd(divisor, value);
            changed |= lower != divisor;
            divisor = lower;
        }
    }
    return divisors;
}

}  // namespace flashtp
