#include "compiler/keep_outputs.hpp"

#include <algorithm>
#include <ranges>

#include "ir/error.hpp"

namespace flashtp {

namespace {

/// One mark a component of every value.
using Marks = std::vector<std::vector<bool>>;

template <class Marked>
Marks marks(const EdgeProgram& program, Marked marked) {
    Marks result;
    for (std::size_t id = 0; id < program.values.size(); ++id) {
        result.emplace_back(program.values[id].components, marked(static_cast<ValueId>(id)));
    }
    return result;
}

/// A component that is no input and that nothing writes is zero; so is a product with it.
void drop_zeros(EdgeProgram& program) {
    Marks nonzero = marks(program, [&](ValueId id) { return program.is_input(id); });
    for (Statement& s : program.statements) {
        std::erase_if(s.entries, [&](const Entry& e) { return !nonzero[s.a.value][e.a] || (s.b && !nonzero[s.b->value][e.b]); });
        for (const Entry& e : s.entries) nonzero[s.dst.value][e.dst] = true;
    }
}

void drop_unread(EdgeProgram& program) {
    Marks live = marks(program, [&](ValueId id) { return program.is_output(id); });
    for (Statement& s : program.statements | std::views::reverse) {
        std::erase_if(s.entries, [&](const Entry& e) { return !live[s.dst.value][e.dst]; });
        for (const Entry& e : s.entries) {
            live[s.a.value][e.a] = true;
            if (s.b) live[s.b->value][e.b] = true;
        }
    }
}

/// Intermediate values keep the components that are written, in order.
void renumber_components(EdgeProgram& program) {
    Marks written = marks(program, [&](ValueId id) { return program.values[id].binding.has_value(); });
    for (const Statement& s : program.statements) {
        for (const Entry& e : s.entries) written[s.dst.value][e.dst] = true;
    }
    std::vector<std::vector<int>> number;
    for (std::size_t id = 0; id < written.size(); ++id) {
        int next = 0;
        auto& numbers = number.emplace_back();
        for (const bool kept : written[id]) numbers.push_back(kept ? next++ : -1);
        program.values[id].components = next;
    }
    for (Statement& s : program.statements) {
        for (Entry& e : s.entries) {
            e.dst = number[s.dst.value][e.dst];
            e.a = number[s.a.value][e.a];
            if (s.b) e.b = number[s.b->value][e.b];
        }
    }
}

/// Values that a statement uses, in order.
void renumber_values(EdgeProgram& program) {
    std::vector<ValueId> number(program.values.size(), -1);
    const auto for_each_use = [&](auto action) {
        for (Statement& s : program.statements) {
            action(s.dst);
            action(s.a);
            if (s.b) action(*s.b);
        }
    };
    for_each_use([&](const Use& use) { number[use.value] = 0; });
    std::vector<Value> kept;
    for (std::size_t id = 0; id < number.size(); ++id) {
        if (number[id] < 0) continue;
        number[id] = static_cast<ValueId>(kept.size());
        kept.push_back(std::move(program.values[id]));
    }
    program.values = std::move(kept);
    for_each_use([&](Use& use) { use.value = number[use.value]; });
}

/// Statements of dropped operands must be gone; their values go with them.
// Value by value: what the paths' own statements can compute, and of that what reaches an output. Programs have thousands of
// statements and this runs once a path, so nothing is copied before it is known to stay.
std::vector<bool> statements_of(const EdgeProgram& program, const std::vector<int>& paths) {
    std::vector<bool> kept(program.statements.size()), defined(program.values.size()), needed(program.values.size());
    for (ValueId v = 0; v < static_cast<ValueId>(program.values.size()); ++v) {
        defined[v] = program.is_input(v);
        needed[v] = program.is_output(v);
    }
    for (std::size_t i = 0; i < kept.size(); ++i) {
        const Statement& s = program.statements[i];
        const bool ours = s.path < 0 || std::ranges::find(paths, s.path) != paths.end();
        kept[i] = ours && defined[s.a.value] && (!s.b || defined[s.b->value]);
        if (kept[i]) defined[s.dst.value] = true;
    }
    for (std::size_t i = kept.size(); i-- > 0;) {
        const Statement& s = program.statements[i];
        kept[i] = kept[i] && needed[s.dst.value];
        if (!kept[i]) continue;
        needed[s.a.value] = true;
        if (s.b) needed[s.b->value] = true;
    }
    return kept;
}

EdgeProgram copy_statements(const EdgeProgram& program, const std::vector<bool>& kept) {
    EdgeProgram out;
    out.operands = program.operands;
    std::vector<bool> used(program.values.size());
    for (std::size_t i = 0; i < kept.size(); ++i) {
        if (!kept[i]) continue;
        const Statement& s = program.statements[i];
        used[s.dst.value] = used[s.a.value] = true;
        if (s.b) used[s.b->value] = true;
        out.statements.push_back(s);
    }
    std::vector<ValueId> renamed(program.values.size(), -1);
    for (ValueId v = 0; v < static_cast<ValueId>(used.size()); ++v) {
        if (!used[v]) continue;
        renamed[v] = static_cast<ValueId>(out.values.size());
        out.values.push_back(program.values[v]);
    }
    for (Statement& s : out.statements) {
        s.dst.value = renamed[s.dst.value];
        s.a.value = renamed[s.a.value];
        if (s.b) s.b->value = renamed[s.b->value];
    }
    return out;
}

void drop_operands(EdgeProgram& program, const std::vector<bool>& dropped) {
    std::vector<OperandId> number(program.operands.size(), -1);
    std::vector<Operand> kept;
    for (std::size_t id = 0; id < number.size(); ++id) {
        if (dropped[id]) continue;
        number[id] = static_cast<OperandId>(kept.size());
        kept.push_back(std::move(program.operands[id]));
    }
    program.operands = std::move(kept);
    for (Value& v : program.values) {
        if (v.binding) v.binding->operand = number[v.binding->operand];
    }
}

bool touches(const EdgeProgram& program, const Use& use, const std::vector<bool>& operands) {
    const auto& binding = program.values[use.value].binding;
    return binding && operands[binding->operand];
}

EdgeProgram without_operands(EdgeProgram program, const std::vector<bool>& dropped) {
    std::erase_if(program.statements, [&](const Statement& s) {
        return touches(program, s.dst, dropped) || touches(program, s.a, dropped) || (s.b && touches(program, *s.b, dropped));
    });
    program = without_dead_code(program);
    drop_operands(program, dropped);
    return program;
}

bool contains(const std::vector<std::string>& names, const std::string& name) {
    return std::ranges::find(names, name) != names.end();
}

void require_operands(const EdgeProgram& program, const std::vector<std::string>& names, Role role) {
    for (const std::string& name : names) {
        const OperandId id = program.find_operand(name);
        if (id < 0 || program.operands[id].role != role) internal_error("the program has no {} {}", to_string(role), name);
    }
}

}  // namespace

EdgeProgram without_dead_code(EdgeProgram program) {
    drop_zeros(program);
    drop_unread(program);
    std::erase_if(program.statements, [](const Statement& s) { return s.entries.empty(); });
    renumber_components(program);
    renumber_values(program);
    return program;
}

EdgeProgram keep_outputs(const EdgeProgram& program, const std::vector<std::string>& names) {
    require_operands(program, names, Role::output);
    std::vector<bool> dropped;
    for (const Operand& o : program.operands) dropped.push_back(o.role == Role::output && !contains(names, o.name));
    return without_operands(program, dropped);
}

EdgeProgram without_inputs(const EdgeProgram& program, const std::vector<std::string>& absent) {
    require_operands(program, absent, Role::input);
    std::vector<bool> dropped;
    for (const Operand& o : program.operands) dropped.push_back(contains(absent, o.name));
    return without_operands(program, dropped);
}

EdgeProgram restrict_to_paths(const EdgeProgram& program, const std::vector<int>& paths) {
    return without_dead_code(copy_statements(program, statements_of(program, paths)));
}

}  // namespace flashtp
