#include "ir/edge_program.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <set>
#include <tuple>

#include <fmt/ranges.h>

#include "ir/error.hpp"

namespace flashtp {

namespace {

std::vector<const Use*> uses_of(const Statement& s) {
    std::vector<const Use*> uses{&s.dst, &s.a};
    if (s.b) uses.push_back(&*s.b);
    return uses;
}

bool has_role(const EdgeProgram& program, ValueId id, Role role) {
    const auto& binding = program.values.at(id).binding;
    return binding && program.operands.at(binding->operand).role == role;
}

/// Joins classes of (value, axis) pairs, numbered consecutively over all values.
class UnionFind {
  public:
    explicit UnionFind(std::size_t size) : parent_(size) { std::iota(parent_.begin(), parent_.end(), 0); }
    int find(int i) {
        while (parent_[i] != i) i = parent_[i] = parent_[parent_[i]];
        return i;
    }
    void join(int i, int j) { parent_[find(i)] = find(j); }

  private:
    std::vector<int> parent_;
};

/// Extents of a statement's labels, in alphabetical order.
std::map<char, std::int64_t> label_extents(const EdgeProgram& program, const Statement& s) {
    std::map<char, std::int64_t> extents;
    for (const Use* use : uses_of(s)) {
        for (std::size_t axis = 0; axis < use->labels.size(); ++axis) {
            extents.emplace(use->labels[axis], program.values[use->value].extents[axis]);
        }
    }
    return extents;
}

/// Components that have a term so far, by value.
using Started = std::set<std::pair<ValueId, int>>;

std::int64_t product_of(const std::map<char, std::int64_t>& extents, const std::string& labels) {
    std::int64_t product = 1;
    for (const auto& [label, extent] : extents)
        if (labels.find(label) != std::string::npos) product *= extent;
    return product;
}

/// How often a coefficient is multiplied with: once a product, but in a matrix product, where every value lacks an axis or is the same
/// for all edges, once a number of the smallest value.
std::int64_t scalings(const EdgeProgram& program, const Statement& s, const std::map<char, std::int64_t>& extents, std::int64_t products) {
    std::int64_t smallest = products;
    for (const Use* use : uses_of(s)) {
        const bool all_edges = program.values[use->value].row == Row::shared;
        if (use->labels.size() == extents.size() && !all_edges) return products;
        smallest = std::min(smallest, product_of(extents, use->labels));
    }
    return smallest;
}

/// The first term of a sum that belongs to an edge is that sum: free where it is one factor and no coefficient.
std::int64_t multiply_adds(const EdgeProgram& program, const Statement& s, const std::map<char, std::int64_t>& extents, Started& started) {
    std::int64_t products = 1, count = 0;
    for (const auto& [label, extent] : extents) products *= extent;
    const std::int64_t scaled = scalings(program, s, extents, products);
    for (const Entry& e : s.entries) {
        const bool first = program.values[s.dst.value].row == Row::edge && started.emplace(s.dst.value, e.dst).second;
        if (s.b) count += products + (std::abs(e.value) != 1 ? scaled : 0);
        else if (!first || e.value != 1) count += products;
    }
    return count;
}

std::string bracketed(const std::string& labels) {
    std::string text = "[";
    for (const char label : labels) text += text.size() > 1 ? fmt::format(",{}", label) : std::string(1, label);
    return text + "]";
}

std::string bracketed(const std::vector<std::int64_t>& extents) { return fmt::format("[{}]", fmt::join(extents, ",")); }

/// "+0.5 a1 b2": components of the sources and the coefficient, exact to the bit.
std::string term_text(const Statement& s, const Entry& e) {
    const std::string b = s.b ? fmt::format(" b{}", e.b) : "";
    return fmt::format("{:+} a{}{}", e.value, e.a, b);
}

/// One line a destination component, in order of first appearance.
std::string entries_text(const Statement& s) {
    std::vector<int> order;
    std::map<int, std::string> lines;
    for (const Entry& e : s.entries) {
        auto [line, added] = lines.try_emplace(e.dst);
        if (added) order.push_back(e.dst);
        line->second += "  " + term_text(s, e);
    }
    std::string text;
    for (const int dst : order) text += fmt::format("    {}:{}\n", dst, lines[dst]);
    return text;
}

std::string statement_text(const EdgeProgram& program, const Statement& s) {
    const auto use = [&](const Use& u) { return program.values.at(u.value).name + bracketed(u.labels); };
    std::string text = fmt::format("  {} += {}", use(s.dst), use(s.a));
    if (s.b) text += " * " + use(*s.b);
    text += fmt::format("  @{}", to_string(space_of(program, s)));
    if (s.path >= 0) text += fmt::format("  path {}", s.path);
    return text + "\n" + entries_text(s);
}

std::string value_text(const EdgeProgram& program, const Value& v) {
    std::string text = fmt::format("  {}{} x{} @{}", v.name, bracketed(v.extents), v.components, to_string(v.row));
    if (v.binding) {
        text += fmt::format("  = {} {}", program.operands.at(v.binding->operand).name, to_string(v.binding->view));
    }
    return text + "\n";
}

}  // namespace

bool EdgeProgram::is_convolution() const {
    return std::ranges::any_of(operands, [](const Operand& o) { return o.row == Row::receiver || o.row == Row::sender; });
}

OperandId EdgeProgram::find_operand(const std::string& name) const {
    const auto found = std::ranges::find(operands, name, &Operand::name);
    return found == operands.end() ? -1 : static_cast<OperandId>(found - operands.begin());
}

ValueId EdgeProgram::find_value(const std::string& name) const {
    const auto found = std::ranges::find(values, name, &Value::name);
    return found == values.end() ? -1 : static_cast<ValueId>(found - values.begin());
}

bool EdgeProgram::is_input(ValueId id) const { return has_role(*this, id, Role::input); }
bool EdgeProgram::is_output(ValueId id) const { return has_role(*this, id, Role::output); }

Row join(Row a, Row b) {
    if (a == b || b == Row::shared) return a;
    return a == Row::shared ? b : Row::edge;
}

Row space_of(const EdgeProgram& program, const Statement& s) {
    Row space = Row::shared;
    for (const Use* use : uses_of(s)) space = join(space, program.values.at(use->value).row);
    return space;
}

AxisClasses axis_classes(const EdgeProgram& program) {
    std::vector<int> first(program.values.size() + 1, 0);  // number of a value's first axis
    for (std::size_t v = 0; v < program.values.size(); ++v) {
        first[v + 1] = first[v] + static_cast<int>(program.values[v].extents.size());
    }
    UnionFind loops(first.back());
    std::map<std::pair<int, char>, int> bound;  // a path's label is one loop in all of its statements
    for (int i = 0; const Statement& s : program.statements) {
        const int scope = s.path >= 0 ? s.path : --i;
        for (const Use* use : uses_of(s)) {
            for (std::size_t axis = 0; axis < use->labels.size(); ++axis) {
                const int here = first[use->value] + static_cast<int>(axis);
                loops.join(here, bound.emplace(std::pair(scope, use->labels[axis]), here).first->second);
            }
        }
    }
    AxisClasses classes;
    for (const Value& v : program.values) classes.of.emplace_back(v.extents.size(), -1);
    std::map<int, int> number;
    for (const Statement& s : program.statements) {
        for (const Use* use : uses_of(s)) {
            for (std::size_t axis = 0; axis < use->labels.size(); ++axis) {
                const int root = loops.find(first[use->value] + static_cast<int>(axis));
                const auto [entry, added] = number.emplace(root, static_cast<int>(number.size()));
                classes.of[use->value][axis] = entry->second;
                if (!added) continue;
                classes.extent.push_back(program.values[use->value].extents[axis]);
                classes.name.emplace_back(1, use->labels[axis]);
            }
        }
    }
    return classes;
}

OperationCount count_operations(const EdgeProgram& program) {
    const AxisClasses classes = axis_classes(program);
    OperationCount count;
    Started started;
    std::set<std::tuple<ValueId, int, int>> sums;  // value, component, summed loop
    for (const Statement& s : program.statements) {
        if (space_of(program, s) == Row::edge) {
            const auto extents = label_extents(program, s);
            (extents.empty() ? count.once : count.channel) += multiply_adds(program, s, extents, started);
        }
        if (!s.dst.labels.empty()) continue;
        for (const Use* use : uses_of(s)) {
            for (std::size_t axis = 0; axis < use->labels.size(); ++axis) {
                for (const Entry& e : s.entries) sums.emplace(s.dst.value, e.dst, classes.of[use->value][axis]);
            }
        }
    }
    count.lane_sums = static_cast<std::int64_t>(sums.size());
    return count;
}

std::string to_string(const EdgeProgram& program) {
    std::string text = "operands\n";
    for (const Operand& o : program.operands) {
        text += fmt::format("  {} {}[{}] @{}\n", to_string(o.role), o.name, o.width, to_string(o.row));
    }
    text += "values\n";
    for (const Value& v : program.values) text += value_text(program, v);
    text += "statements\n";
    for (const Statement& s : program.statements) text += statement_text(program, s);
    return text;
}

}  // namespace flashtp
