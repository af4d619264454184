#include "compiler/derivative.hpp"

#include <algorithm>
#include <numeric>

#include "compiler/keep_outputs.hpp"
#include "compiler/linearize.hpp"
#include "compiler/reverse.hpp"
#include "ir/error.hpp"

namespace flashtp {

namespace {

/// The names the program has operands for: an unweighted problem has no w and no derivative of w.
std::vector<std::string> present(const EdgeProgram& program, const std::vector<std::string>& names) {
    std::vector<std::string> kept;
    std::ranges::copy_if(names, std::back_inserter(kept), [&](const auto& name) { return program.find_operand(name) >= 0; });
    return kept;
}

/// All outputs of an order, for all directions.
EdgeProgram whole_derivative(const EdgeProgram& forward, int order) {
    EdgeProgram program = forward;
    if (order >= 1) program = reverse(program);
    if (order >= 2) program = linearize(program, forward_inputs());
    // The gradient of order 2 is the adjoint of order 2's outputs alone.
    if (order >= 3) program = reverse(keep_outputs(program, present(program, outputs_of_order(2, forward_inputs()))));
    return program;
}

/// Inputs before outputs, otherwise in the order they were made: the signature of a request is the same however it was factored.
EdgeProgram inputs_first(EdgeProgram program) {
    std::vector<OperandId> order(program.operands.size()), place(order.size());
    std::iota(order.begin(), order.end(), 0);
    std::ranges::stable_partition(order, [&](OperandId id) { return program.operands[id].role == Role::input; });
    std::vector<Operand> operands;
    for (const OperandId id : order) {
        place[id] = static_cast<OperandId>(operands.size());
        operands.push_back(std::move(program.operands[id]));
    }
    program.operands = std::move(operands);
    for (Value& v : program.values) {
        if (v.binding) v.binding->operand = place[v.binding->operand];
    }
    return program;
}

std::vector<std::string> wanted_outputs(const EdgeProgram& program, const Request& request) {
    if (request.outputs.empty()) return present(program, outputs_of_order(request.order, forward_inputs()));
    for (const std::string& name : request.outputs) {
        if (program.find_operand(name) < 0) user_error("the problem has no such operand, so it has no output {}", name);
    }
    return request.outputs;
}

}  // namespace

EdgeProgram derivative(const EdgeProgram& forward, const Request& request) {
    validate(request);
    EdgeProgram program = whole_derivative(forward, request.order);
    program = keep_outputs(program, wanted_outputs(program, request));
    return inputs_first(without_inputs(program, present(program, request.absent)));
}

}  // namespace flashtp
