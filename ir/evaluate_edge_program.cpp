// EdgeProgram in double: every value a dense array, every statement a plain sweep. Nothing of the oracle is used.
#include <map>

#include "ir/edge_program.hpp"
#include "ir/error.hpp"

namespace flashtp {

namespace {

/// Calls visit(indices) for every combination of indices, the last one fastest.
template <class Visit>
void for_each_index(const std::vector<std::int64_t>& extents, Visit visit) {
    std::vector<std::int64_t> indices(extents.size(), 0);
    while (true) {
        visit(indices);
        std::size_t axis = extents.size();
        while (axis > 0 && ++indices[axis - 1] == extents[axis - 1]) indices[--axis] = 0;
        if (axis == 0) return;
    }
}

/// [rows][axes...][components] of one value.
struct Dense {
    std::vector<std::int64_t> strides;  ///< by axis
    std::int64_t row_size = 0;
    std::vector<double> data;

    Dense(const Value& v, std::int64_t rows) : strides(v.extents.size()), row_size(v.components) {
        for (std::size_t axis = v.extents.size(); axis-- > 0;) {
            strides[axis] = row_size;
            row_size *= v.extents[axis];
        }
        data.resize(rows * row_size);
    }
};

/// Calls visit(element of dense, element of tensor) for everything a bound value holds.
template <class Visit>
void for_each_bound(const Value& v, std::int64_t rows, std::int64_t width, Visit visit) {
    std::vector<std::int64_t> positions;  // of one row, in the order of the dense array
    for_each_index(v.extents, [&](const std::vector<std::int64_t>& indices) {
        for (int c = 0; c < v.components; ++c) positions.push_back(v.binding->view.position(indices, c));
    });
    const auto size = static_cast<std::int64_t>(positions.size());
    for (std::int64_t row = 0; row < rows; ++row) {
        for (std::int64_t n = 0; n < size; ++n) visit(row * size + n, row * width + positions[n]);
    }
}

class Evaluator {
  public:
    Evaluator(const EdgeProgram& program, const Graph& graph, const Tensors& inputs) : program_(program), graph_(graph) {
        for (std::size_t id = 0; id < program.values.size(); ++id) {
            dense_.emplace_back(program.values[id], graph.rows(program.values[id].row));
            if (program.is_input(static_cast<ValueId>(id))) load(static_cast<ValueId>(id), inputs);
        }
    }

    Tensors run() {
        for (const Statement& s : program_.statements) execute(s);
        Tensors outputs;
        for (const Operand& o : program_.operands) {
            if (o.role == Role::output) outputs[o.name].resize(graph_.rows(o.row) * o.width);
        }
        for (std::size_t id = 0; id < program_.values.size(); ++id) {
            if (program_.is_output(static_cast<ValueId>(id))) add(static_cast<ValueId>(id), outputs);
        }
        return outputs;
    }

  private:
    const Operand& operand_of(ValueId id) const { return program_.operands[program_.values[id].binding->operand]; }

    void load(ValueId id, const Tensors& inputs) {
        const Operand& o = operand_of(id);
        const auto tensor = inputs.find(o.name);
        if (tensor == inputs.end()) internal_error("no tensor for input {}", o.name);
        const std::int64_t rows = graph_.rows(o.row);
        if (static_cast<std::int64_t>(tensor->second.size()) != rows * o.width) {
            internal_error("input {} has {} elements, not {} x {}", o.name, tensor->second.size(), rows, o.width);
        }
        for_each_bound(program_.values[id], rows, o.width,
                       [&](std::int64_t n, std::int64_t position) { dense_[id].data[n] = tensor->second[position]; });
    }

    /// Views of one output may overlap: all that is in them adds up.
    void add(ValueId id, Tensors& outputs) const {
        const Operand& o = operand_of(id);
        std::vector<double>& tensor = outputs[o.name];
        for_each_bound(program_.values[id], graph_.rows(o.row), o.width,
                       [&](std::int64_t n, std::int64_t position) { tensor[position] += dense_[id].data[n]; });
    }

    /// Strides of a statement's three values along its labels; b's are zero where there is no b.
    struct Loop {
        std::int64_t extent = 0, dst = 0, a = 0, b = 0;
    };

    std::vector<Loop> loops_of(const Statement& s) const {
        std::map<char, Loop> loops;
        const auto bind = [&](const Use& use, std::int64_t Loop::* stride) {
            for (std::size_t axis = 0; axis < use.labels.size(); ++axis) {
                Loop& loop = loops[use.labels[axis]];
                loop.extent = program_.values[use.value].extents[axis];
                loop.*stride = dense_[use.value].strides[axis];
            }
        };
        bind(s.dst, &Loop::dst);
        bind(s.a, &Loop::a);
        if (s.b) bind(*s.b, &Loop::b);
        std::vector<Loop> result;
        for (const auto& [label, loop] : loops) result.push_back(loop);
        return result;
    }

    /// First element of the row of a value that a row of the statement's space touches.
    double* row(ValueId id, Row space, std::int64_t index) {
        const Row kind = program_.values[id].row;
        const std::int64_t own = kind == space ? index : graph_.row_of(kind, index);
        return dense_[id].data.data() + own * dense_[id].row_size;
    }

    void execute(const Statement& s) {
        const Row space = space_of(program_, s);
        const std::vector<Loop> loops = loops_of(s);
        static constexpr double one = 1;
        for (std::int64_t index = 0; index < graph_.rows(space); ++index) {
            const double* b = s.b ? row(s.b->value, space, index) : &one;
            sweep(s, loops, 0, row(s.dst.value, space, index), row(s.a.value, space, index), b);
        }
    }

    static void sweep(const Statement& s, const std::vector<Loop>& loops, std::size_t depth, double* dst, const double* a,
                      const double* b) {
        if (depth == loops.size()) {
            for (const Entry& e : s.entries) dst[e.dst] += e.value * a[e.a] * b[s.b ? e.b : 0];
            return;
        }
        const Loop& loop = loops[depth];
        for (std::int64_t i = 0; i < loop.extent; ++i) {
            sweep(s, loops, depth + 1, dst + i * loop.dst, a + i * loop.a, b + i * loop.b);
        }
    }

    const EdgeProgram& program_;
    const Graph& graph_;
    std::vector<Dense> dense_;
};

}  // namespace

Tensors evaluate(const EdgeProgram& program, const Graph& graph, const Tensors& inputs) {
    return Evaluator(program, graph, inputs).run();
}

}  // namespace flashtp
