// The algebra factored into statements dst[labels] += sum c * a[labels] * b[labels] on fibre components. Derivatives, the cost
// model and scheduling work on this level.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "ir/graph.hpp"
#include "ir/view.hpp"

namespace flashtp {

using ValueId = int;
using OperandId = int;

/// The value lives in an operand: read from an input, or added to an output.
struct Binding {
    OperandId operand = 0;
    View view;
    friend bool operator==(const Binding&, const Binding&) = default;
};

/// A fibre of `components` numbers for every combination of its anonymous axes and for every row of its kind.
struct Value {
    std::string name;
    std::vector<std::int64_t> extents;
    int components = 1;
    Row row = Row::edge;
    std::optional<Binding> binding;
    friend bool operator==(const Value&, const Value&) = default;
};

/// Binds the value's axes to labels, one letter an axis.
struct Use {
    ValueId value = 0;
    std::string labels;
    friend bool operator==(const Use&, const Use&) = default;
};

/// dst component += value * a component * b component (b is ignored where the statement has no b).
struct Entry {
    int dst = 0, a = 0, b = 0;
    double value = 0;
    friend bool operator==(const Entry&, const Entry&) = default;
};

/// Labels and rows that dst lacks are summed. `path` is the path whose coefficients it carries, -1 for work shared by paths.
struct Statement {
    int path = -1;
    Use dst, a;
    std::optional<Use> b;
    std::vector<Entry> entries;
    friend bool operator==(const Statement&, const Statement&) = default;
};

/// A value is the sum of all statements that write it; every write precedes every read. Statements are in such an order.
struct EdgeProgram {
    std::vector<Operand> operands;
    std::vector<Value> values;
    std::vector<Statement> statements;

    /// Index of the operand or value of that name, or -1.
    OperandId find_operand(const std::string& name) const;
    /// Whether rows are gathered by sender or summed by receiver.
    bool is_convolution() const;
    ValueId find_value(const std::string& name) const;
    bool is_input(ValueId) const;   ///< bound to an input operand
    bool is_output(ValueId) const;  ///< bound to an output operand
    friend bool operator==(const EdgeProgram&, const EdgeProgram&) = default;
};

/// The coarsest row kind that refines both.
Row join(Row a, Row b);
/// Iteration space of a statement: the coarsest row kind that refines the rows of all its values.
Row space_of(const EdgeProgram&, const Statement&);

/// Axes that some statement, or several of one path, bind to one label are one loop. Classes are numbered in order of first appearance.
struct AxisClasses {
    std::vector<std::vector<int>> of;  ///< by value, by axis; -1 where no statement uses the value
    std::vector<std::int64_t> extent;  ///< by class
    std::vector<std::string> name;     ///< by class: the label of its first use
};
AxisClasses axis_classes(const EdgeProgram&);

/// Multiplications, additions and multiply-adds of the statements that run once an edge, with channel axes and without, and the sums
/// over channels that leave no label: the cost model's raw data. What only gives a number another name is no operation.
struct OperationCount {
    std::int64_t channel = 0, once = 0, lane_sums = 0;
};
OperationCount count_operations(const EdgeProgram&);

std::string to_string(const EdgeProgram&);
/// Throws InternalError with the program when labels, components, bindings or the order of writes and reads do not fit.
void verify(const EdgeProgram&);

/// Evaluates in double. Independent of lowering; used by tests and as a second opinion beside the oracle.
Tensors evaluate(const EdgeProgram&, const Graph&, const Tensors& inputs);

}  // namespace flashtp
