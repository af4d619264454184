#include "compiler/linearize.hpp"

#include <algorithm>

#include "compiler/twins.hpp"

namespace flashtp {

namespace {

/// Declares tangents of the outputs and of the inputs that move; returns which operands move.
std::vector<bool> add_tangent_operands(EdgeProgram& out, Twins& tangent, const std::vector<std::string>& directions) {
    std::vector<bool> moves(out.operands.size());
    for (OperandId id = 0; id < static_cast<int>(moves.size()); ++id) {
        const Operand o = out.operands[id];
        moves[id] = o.role == Role::input && std::ranges::find(directions, o.name) != directions.end();
        if (moves[id] || o.role == Role::output) tangent.add_operand(id, o.role);
    }
    return moves;
}

Statement tangent_in_a(Statement s, Twins& tangent) {
    s.dst.value = tangent.of(s.dst.value);
    s.a.value = tangent.of(s.a.value);
    return s;
}

Statement tangent_in_b(Statement s, Twins& tangent) {
    s.dst.value = tangent.of(s.dst.value);
    s.b->value = tangent.of(s.b->value);
    return s;
}

}  // namespace

EdgeProgram linearize(const EdgeProgram& program, const std::vector<std::string>& directions) {
    EdgeProgram out = program;
    out.statements.clear();
    Twins tangent(out, "t_");
    const std::vector<bool> moves = add_tangent_operands(out, tangent, directions);
    std::vector<bool> active(program.values.size());
    for (std::size_t id = 0; id < active.size(); ++id) {
        const auto& binding = program.values[id].binding;
        active[id] = binding && moves[binding->operand];
    }
    for (const Statement& s : program.statements) {
        out.statements.push_back(s);
        // Product rule: one source at a time becomes its tangent. Writers precede readers, so `active` is final for sources.
        const bool a_moves = active[s.a.value], b_moves = s.b && active[s.b->value];
        if (a_moves) out.statements.push_back(tangent_in_a(s, tangent));
        if (b_moves) out.statements.push_back(tangent_in_b(s, tangent));
        if (a_moves || b_moves) active[s.dst.value] = true;
    }
    return out;
}

}  // namespace flashtp
