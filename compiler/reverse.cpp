#include "compiler/reverse.hpp"

#include <ranges>

#include "compiler/keep_outputs.hpp"
#include "compiler/twins.hpp"

namespace flashtp {

namespace {

/// The adjoint of `dst += c a b` in `a` is `a' += c dst' b`: the statement with dst and a exchanged.
Statement exchange_a(const Statement& s, Twins& adjoint) {
    Statement t = s;
    t.dst = {adjoint.of(s.a.value), s.a.labels};
    t.a = {adjoint.of(s.dst.value), s.dst.labels};
    for (Entry& e : t.entries) std::swap(e.dst, e.a);
    return t;
}

/// Likewise in `b`: `b' += c dst' a`.
Statement exchange_b(const Statement& s, Twins& adjoint) {
    Statement t = s;
    t.dst = {adjoint.of(s.b->value), s.b->labels};
    t.a = {adjoint.of(s.dst.value), s.dst.labels};
    t.b = s.a;
    for (Entry& e : t.entries) e = {e.b, e.dst, e.a, e.value};
    return t;
}

}  // namespace

EdgeProgram reverse(const EdgeProgram& program) {
    // A value nobody reads would have an adjoint nobody writes.
    EdgeProgram out = without_dead_code(program);
    const std::vector<Statement> forward = out.statements;
    const int operands = static_cast<int>(out.operands.size());
    Twins adjoint(out, "d_");
    for (OperandId id = 0; id < operands; ++id) {
        adjoint.add_operand(id, out.operands[id].role == Role::input ? Role::output : Role::input);
    }
    for (const Statement& s : forward | std::views::reverse) {
        out.statements.push_back(exchange_a(s, adjoint));
        if (s.b) out.statements.push_back(exchange_b(s, adjoint));
    }
    return out;
}

}  // namespace flashtp
