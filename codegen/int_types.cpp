#include "codegen/int_types.hpp"

#include <algorithm>
#include <cstdlib>

namespace flashtp {

namespace {
constexpr std::int64_t small = std::int64_t{1} << 30;
}

IntTypes::IntTypes(const Kernel& kernel, const KernelTask& task) : facts_(task.ints.size()) {
    count(task.body);
    for (Fact& f : facts_)
        if (f.stage) f.bound = kernel.stages;
    fact(int_chunk).bound = task.chunks;
    // Twice: an assignment in a loop may widen what is read earlier in it.
    derive(task.body);
    derive(task.body);
}

/// Only a variable with one definition, or a stage, has a bound.
void IntTypes::count(const Block& statements) {
    for (const KernelStatement& s : statements) {
        if (const auto* let = std::get_if<IntLet>(&s.node)) ++fact(let->var).definitions;
        if (const auto* set = std::get_if<IntSet>(&s.node)) ++fact(set->var).definitions;
        if (const auto* min = std::get_if<IntMin>(&s.node)) ++fact(min->var).definitions;
        if (const auto* load = std::get_if<IntLoad>(&s.node)) fact(load->var).definitions += 2;
        if (const auto* get = std::get_if<IntGet>(&s.node)) fact(get->var).definitions += 2;
        if (const auto* read = std::get_if<WindowRead>(&s.node)) fact(read->var).definitions += 2;
        if (const auto* next = std::get_if<StageNext>(&s.node)) fact(next->stage).stage = true;
        if (const auto* branch = std::get_if<If>(&s.node)) count(branch->body);
        if (const auto* loop = std::get_if<For>(&s.node)) {
            ++fact(loop->var).definitions;
            count(loop->body);
        }
    }
}

bool IntTypes::product_is_wide(IntId id, std::int64_t factor) const {
    if (wide(id) || factor == 1 || factor == -1) return false;
    const auto& b = fact(id).bound;
    return !b || *b > small / std::abs(factor);
}

bool IntTypes::is_wide(const Affine& a) const {
    if (std::abs(a.constant) > small) return true;
    return std::ranges::any_of(a.terms, [&](const auto& t) { return wide(t.first) || product_is_wide(t.first, t.second); });
}

std::optional<std::int64_t> IntTypes::bound(const Affine& a) const {
    std::int64_t total = std::abs(a.constant);
    for (const auto& [id, factor] : a.terms) {
        const auto& b = fact(id).bound;
        if (!b || product_is_wide(id, factor)) return {};
        total += *b * std::abs(factor);
        if (total > small) return {};
    }
    return total <= small ? std::optional(total) : std::nullopt;
}

/// The variable has one of these values, or lies between them.
void IntTypes::define(IntId id, std::initializer_list<const Affine*> values) {
    Fact& f = fact(id);
    std::optional<std::int64_t> largest = 0;
    for (const Affine* value : values) {
        const auto b = bound(*value);
        largest = b && largest ? std::optional(std::max(*b, *largest)) : std::nullopt;
        f.wide |= is_wide(*value);
    }
    if (!f.stage && f.definitions == 1) f.bound = largest;
}

void IntTypes::derive(const Block& statements) {
    for (const KernelStatement& s : statements) {
        if (const auto* let = std::get_if<IntLet>(&s.node)) define(let->var, {&let->value});
        if (const auto* set = std::get_if<IntSet>(&s.node)) define(set->var, {&set->value});
        if (const auto* min = std::get_if<IntMin>(&s.node)) define(min->var, {&min->a, &min->b});
        if (const auto* branch = std::get_if<If>(&s.node)) derive(branch->body);
        if (const auto* loop = std::get_if<For>(&s.node)) {
            define(loop->var, {&loop->begin, &loop->end});
            derive(loop->body);
        }
    }
}

}  // namespace flashtp
