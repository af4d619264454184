#include "compiler/twins.hpp"

#include <algorithm>
#include <set>

#include "ir/error.hpp"

namespace flashtp {

Twins::Twins(EdgeProgram& program, std::string prefix)
    : program_(program), prefix_(std::move(prefix)), intermediate_prefix_(prefix_for_intermediates()),
      operand_(program.operands.size(), -1), value_(program.values.size(), -1) {}

/// Lengthened until it is free for all intermediate values, so that one derivative has one prefix.
std::string Twins::prefix_for_intermediates() const {
    std::set<std::string> taken;
    for (const Value& v : program_.values) taken.insert(v.name);
    std::string prefix = prefix_;
    const auto clashes = [&](const Value& v) { return !v.binding && taken.contains(prefix + v.name); };
    while (std::ranges::any_of(program_.values, clashes)) prefix = prefix_.front() + prefix;
    return prefix;
}

void Twins::add_operand(OperandId id, Role role) {
    Operand twin = twin_of(program_.operands[id], prefix_, role);
    if (program_.find_operand(twin.name) >= 0) internal_error("operand {} exists already", twin.name);
    operand_[id] = static_cast<OperandId>(program_.operands.size());
    program_.operands.push_back(std::move(twin));
}

ValueId Twins::of(ValueId id) {
    if (value_.at(id) >= 0) return value_[id];
    Value twin = program_.values[id];
    twin.name = (twin.binding ? prefix_ : intermediate_prefix_) + twin.name;
    if (twin.binding) {
        twin.binding->operand = operand_.at(twin.binding->operand);
        if (twin.binding->operand < 0) internal_error("the operand of {} is not declared", twin.name);
    }
    program_.values.push_back(std::move(twin));
    return value_[id] = static_cast<ValueId>(program_.values.size()) - 1;
}

}  // namespace flashtp
