#include "ir/path_program.hpp"

#include <algorithm>
#include <cmath>
#include <map>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "ir/error.hpp"

namespace flashtp {
namespace {

constexpr std::array slots{slot_x, slot_y, slot_h, slot_w, slot_z};
constexpr std::string_view slot_name = "xywzh";

bool contains(const std::vector<std::string>& names, const std::string& name) {
    return std::find(names.begin(), names.end(), name) != names.end();
}

/// Appends the operand with a prefixed name and returns its index. One prefix is given once, so a clash is a mistake of ours.
int add_twin(PathProgram& program, int original, std::string_view prefix, Role role) {
    Operand twin = twin_of(program.operands[original], prefix, role);
    if (program.find(twin.name) >= 0) internal_error("operand {} exists already in\n{}", twin.name, to_string(program));
    program.operands.push_back(std::move(twin));
    return static_cast<int>(program.operands.size()) - 1;
}

/// Keeps the operands marked, renumbers the terms and drops those that touch another operand.
PathProgram keep_operands(const PathProgram& program, const std::vector<bool>& kept) {
    PathProgram result{{}, program.paths, {}};
    std::vector<int> renumbered(program.operands.size(), -1);
    for (std::size_t id = 0; id < kept.size(); ++id) {
        if (!kept[id]) continue;
        renumbered[id] = static_cast<int>(result.operands.size());
        result.operands.push_back(program.operands[id]);
    }
    for (Term term : program.terms) {
        bool whole = true;
        for (int& id : term.operand) {
            if (id < 0) continue;
            whole = whole && kept[id];
            id = renumbered[id];
        }
        if (whole) result.terms.push_back(term);
    }
    return result;
}

/// Inputs before outputs, otherwise in the order they were made: the order of `Request`'s lists at every order.
PathProgram inputs_first(const PathProgram& program) {
    std::vector<int> order(program.operands.size()), position(program.operands.size());
    for (std::size_t id = 0; id < order.size(); ++id) order[id] = static_cast<int>(id);
    std::stable_partition(order.begin(), order.end(), [&](int id) { return program.operands[id].role == Role::input; });

    PathProgram result{{}, program.paths, program.terms};
    for (std::size_t place = 0; place < order.size(); ++place) {
        position[order[place]] = static_cast<int>(place);
        result.operands.push_back(program.operands[order[place]]);
    }
    for (Term& term : result.terms) {
        for (int& id : term.operand) id = id < 0 ? id : position[id];
    }
    return result;
}

/// The names of the list that the program has: an unweighted problem has no d_w to ask for.
std::vector<std::string> existing(const PathProgram& program, const std::vector<std::string>& names) {
    std::vector<std::string> result;
    for (const std::string& name : names) {
        if (program.find(name) >= 0) result.push_back(name);
    }
    return result;
}

/// All outputs of an order, from the forward program.
PathProgram whole_order(const PathProgram& forward, int order) {
    PathProgram program = forward;
    if (order >= 1) program = reverse(program);
    if (order >= 2) program = linearize(program, existing(program, forward_inputs()));
    if (order >= 3) program = reverse(keep_outputs(program, existing(program, outputs_of_order(2, forward_inputs()))));
    return inputs_first(keep_outputs(program, existing(program, outputs_of_order(order, forward_inputs()))));
}

std::string print(const Path& path, int index) {
    double square = 0;
    for (const Coefficient& c : path.coefficients) square += c.value * c.value;
    std::string line =
        fmt::format("  {}: {}, {} coefficients, norm {:.12g}", index, path.name, path.coefficients.size(), std::sqrt(square));
    for (const Slot slot : slots) {
        if (path.views[slot])
            line += fmt::format(", {}[{}] {}", slot_name[slot], path.labels[slot], to_string(*path.views[slot]));
    }
    return line + '\n';
}

/// Programs that do not verify are printed too.
std::string name_of(const PathProgram& program, int id) {
    const bool exists = id >= 0 && id < static_cast<int>(program.operands.size());
    return exists ? program.operands[id].name : fmt::format("operand {}", id);
}

std::string print(const PathProgram& program, const Term& term) {
    std::vector<std::string> factors;
    for (const Slot slot : slots) {
        if (slot != term.written && term.operand[slot] != -1) factors.push_back(name_of(program, term.operand[slot]));
    }
    const std::string scale = term.scale == 1 ? "" : fmt::format("{} times ", term.scale);
    return fmt::format("  {} += {}path {} of {}\n", name_of(program, term.operand[term.written]), scale, term.path,
                       fmt::join(factors, ", "));
}

/// What is wrong with a path by itself, or nothing.
std::string fault_of(const Path& path) {
    std::map<char, std::int64_t> extents;
    for (const Slot slot : slots) {
        const std::string& labels = path.labels[slot];
        if (!path.views[slot]) {
            const bool optional = slot == slot_h || (slot == slot_w && !has_hidden_layer(path));
            if (!optional || !labels.empty()) return fmt::format("slot {} has no view", slot_name[slot]);
            continue;
        }
        const View& view = *path.views[slot];
        if (labels.size() != view.axes.size()) return fmt::format("slot {}: a label an axis is missing", slot_name[slot]);
        for (std::size_t axis = 0; axis < labels.size(); ++axis) {
            if (labels.find(labels[axis], axis + 1) != std::string::npos)
                return fmt::format("label {} twice in one slot", labels[axis]);
            const std::int64_t extent = view.axes[axis].extent;
            if (extent < 2) return fmt::format("label {}: an axis of extent {} is no axis", labels[axis], extent);
            if (extents.emplace(labels[axis], extent).first->second != extent)
                return fmt::format("label {} has two extents", labels[axis]);
        }
        if ((slot == slot_w || slot == slot_h) && view.components != 1) return "a weight has one component";
    }
    for (const Coefficient& c : path.coefficients) {
        const BySlot<int> component{c.i, c.j, 0, c.k, 0};
        for (const Slot slot : slots) {
            if (!path.views[slot]) continue;
            if (component[slot] < 0 || component[slot] >= path.views[slot]->components)
                return "a coefficient is outside its fibres";
        }
    }
    return {};
}

/// What is wrong with a term, or nothing.
std::string fault_of(const PathProgram& program, const Term& term) {
    if (term.path < 0 || term.path >= static_cast<int>(program.paths.size()))
        return fmt::format("there is no path {}", term.path);
    const Path& path = program.paths[term.path];
    for (const Slot slot : slots) {
        const int id = term.operand[slot];
        if ((id >= 0) != path.views[slot].has_value()) return fmt::format("slot {} and its view do not agree", slot_name[slot]);
        if (id < 0) continue;
        if (id >= static_cast<int>(program.operands.size())) return fmt::format("there is no operand {}", id);
        const Operand& operand = program.operands[id];
        const bool is_output = operand.role == Role::output;
        if (is_output != (slot == term.written)) return fmt::format("{} is {}", operand.name, is_output ? "read" : "written");
        if (path.views[slot]->end() > operand.width)
            return fmt::format("the view of slot {} passes the end of {}", slot_name[slot], operand.name);
    }
    return term.operand[term.written] < 0 ? "nothing is written" : "";
}

}  // namespace

int PathProgram::find(const std::string& name) const {
    for (std::size_t id = 0; id < operands.size(); ++id) {
        if (operands[id].name == name) return static_cast<int>(id);
    }
    return -1;
}

PathProgram reverse(const PathProgram& program) {
    PathProgram result = program;  // primal terms stay; keep_outputs drops what is not asked for
    std::vector<int> adjoint;      // also of operands no term reads: their gradient is zero, not missing
    for (std::size_t id = 0; id < program.operands.size(); ++id) {
        const Role role = program.operands[id].role == Role::output ? Role::input : Role::output;
        adjoint.push_back(add_twin(result, static_cast<int>(id), "d_", role));
    }
    for (const Term& term : program.terms) {
        for (const Slot slot : slots) {
            if (slot == term.written || term.operand[slot] < 0) continue;
            Term exchanged = term;
            exchanged.operand[term.written] = adjoint[term.operand[term.written]];
            exchanged.operand[slot] = adjoint[term.operand[slot]];
            exchanged.written = slot;
            result.terms.push_back(exchanged);
        }
    }
    return result;
}

PathProgram linearize(const PathProgram& program, const std::vector<std::string>& directions) {
    PathProgram result = program;
    std::vector<int> tangent(program.operands.size(), -1);
    for (std::size_t id = 0; id < program.operands.size(); ++id) {
        const Operand& operand = program.operands[id];
        const bool is_output = operand.role == Role::output;
        if (is_output || contains(directions, operand.name))
            tangent[id] = add_twin(result, static_cast<int>(id), "t_", operand.role);
    }
    for (const Term& term : program.terms) {
        for (const Slot slot : slots) {
            if (slot == term.written || term.operand[slot] < 0 || tangent[term.operand[slot]] < 0) continue;
            Term moved = term;
            moved.operand[term.written] = tangent[term.operand[term.written]];
            moved.operand[slot] = tangent[term.operand[slot]];
            result.terms.push_back(moved);
        }
    }
    return result;
}

PathProgram keep_outputs(const PathProgram& program, const std::vector<std::string>& names) {
    std::vector<bool> kept;
    for (const Operand& operand : program.operands) kept.push_back(operand.role == Role::input || contains(names, operand.name));
    return keep_operands(program, kept);
}

PathProgram drop_inputs(const PathProgram& program, const std::vector<std::string>& names) {
    std::vector<bool> kept;
    for (const Operand& operand : program.operands)
        kept.push_back(operand.role == Role::output || !contains(names, operand.name));
    return keep_operands(program, kept);
}

PathProgram derivative(const PathProgram& forward, const Request& request) {
    validate(request);
    PathProgram program = drop_inputs(whole_order(forward, request.order), request.absent);
    for (const std::string& name : request.outputs) {
        if (program.find(name) < 0) user_error("output {} of order {}: the problem has no such operand", name, request.order);
    }
    if (!request.outputs.empty()) program = keep_outputs(program, request.outputs);
    verify(program);
    return program;
}

std::string to_string(const PathProgram& program) {
    std::string text = "operands\n";
    for (const Operand& operand : program.operands) {
        text += fmt::format("  {} {} {}, width {}{}\n", to_string(operand.role), operand.name, to_string(operand.row), operand.width,
                            operand.storage ? fmt::format(", {}", to_string(*operand.storage)) : "");
    }
    text += "paths\n";
    for (std::size_t path = 0; path < program.paths.size(); ++path) text += print(program.paths[path], static_cast<int>(path));
    text += "terms\n";
    for (const Term& term : program.terms) text += print(program, term);
    return text;
}

void verify(const PathProgram& program) {
    for (std::size_t id = 0; id < program.operands.size(); ++id) {
        const std::string& name = program.operands[id].name;
        if (program.find(name) != static_cast<int>(id)) internal_error("operand {} twice in\n{}", name, to_string(program));
    }
    for (const Path& path : program.paths) {
        const std::string fault = fault_of(path);
        if (!fault.empty()) internal_error("path {}: {}", path.name, fault);
    }
    for (const Term& term : program.terms) {
        const std::string fault = fault_of(program, term);
        if (!fault.empty()) internal_error("a term of path {}: {} in\n{}", term.path, fault, to_string(program));
    }
}

}  // namespace flashtp
