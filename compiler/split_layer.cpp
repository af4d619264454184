#include "compiler/split_layer.hpp"

#include <algorithm>
#include <array>
#include <set>

#include "ir/error.hpp"

namespace flashtp {

namespace {

/// Derivatives are called after what they are derivatives of.
bool is_layer_operand(const Operand& operand) {
    std::string_view name = operand.name;
    while (name.starts_with("d_") || name.starts_with("t_")) name.remove_prefix(2);
    return name == "h" || name == "W2" || name == "b";
}

template <class Visit>
void for_each_use(const Statement& s, Visit visit) {
    visit(s.dst);
    visit(s.a);
    if (s.b) visit(*s.b);
}

class Splitter {
  public:
    explicit Splitter(const EdgeProgram& program) : program_(program), of_part_(program.values.size()), bound_(program.values) {}

    LayerSplit run() {
        assign_parts();
        for (ValueId v = 0; v < static_cast<ValueId>(program_.values.size()); ++v)
            if (!program_.values[v].binding && of_part_[v].size() > 1) bind(v);
        return {part(before), part(main), part(after), std::move(tiles_)};
    }

  private:
    enum Part { before, main, after };

    bool of_layer(const Statement& s) const {
        bool found = false;
        for_each_use(s, [&](const Use& use) {
            const auto& binding = program_.values[use.value].binding;
            found |= binding && is_layer_operand(program_.operands[binding->operand]);
        });
        return found;
    }

    // The layer's statements come first unless they read what the convolution made.
    void assign_parts() {
        std::vector<bool> late(program_.values.size(), false);
        for (const Statement& s : program_.statements) {
            const bool layer = of_layer(s), reads_late = late[s.a.value] || (s.b && late[s.b->value]);
            late[s.dst.value] = late[s.dst.value] || !layer || reads_late;
            parts_.push_back(!layer ? main : reads_late ? after : before);
            for_each_use(s, [&](const Use& use) { of_part_[use.value].insert(parts_.back()); });
        }
    }

    /// The place of a weight in its row is its place in a row of the matrix.
    void bind(ValueId value) {
        for (const Statement& s : program_.statements) {
            const Use *weight = nullptr, *shared = nullptr;
            for_each_use(s, [&](const Use& use) {
                if (use.value == value)
                    weight = &use;
                else if (program_.values[use.value].row == Row::shared && program_.values[use.value].binding)
                    shared = &use;
            });
            if (!weight || !shared || !of_layer(s)) continue;
            View view = program_.values[shared->value].binding->view;
            std::vector<ViewAxis> axes;
            for (const char label : weight->labels) axes.push_back(view.axes[shared->labels.find(label)]);
            view.axes = std::move(axes);
            bound_[value].binding = Binding{tile_of(program_.values[value].name, view.end()), view};
            return;
        }
        internal_error("no matrix belongs to {} in\n{}", program_.values[value].name, to_string(program_));
    }

    /// "d_w" for d_w3: the operands of programs whose weights are given have these names.
    OperandId tile_of(std::string name, std::int64_t width) {
        name.resize(name.find_last_not_of("0123456789") + 1);
        auto found = std::ranges::find(tiles_, name, &Operand::name);
        if (found == tiles_.end()) found = tiles_.insert(found, Operand{name, 0, Row::edge, Role::input, true});
        found->width = std::max(found->width, width);
        return static_cast<OperandId>(program_.operands.size() + static_cast<std::size_t>(found - tiles_.begin()));
    }

    EdgeProgram part(Part which) const {
        EdgeProgram result;
        std::vector<ValueId> values(program_.values.size(), -1);
        std::vector<OperandId> operands(program_.operands.size() + tiles_.size(), -1);
        for (std::size_t i = 0; i < parts_.size(); ++i) {
            if (parts_[i] != which) continue;
            Statement s = program_.statements[i];
            s.dst.value = copy_value(s.dst.value, true, values, operands, result);
            s.a.value = copy_value(s.a.value, false, values, operands, result);
            if (s.b) s.b->value = copy_value(s.b->value, false, values, operands, result);
            result.statements.push_back(std::move(s));
        }
        return result;
    }

    ValueId copy_value(ValueId value, bool written, std::vector<ValueId>& values, std::vector<OperandId>& operands,
                       EdgeProgram& to) const {
        if (values[value] >= 0) return values[value];
        Value copy = bound_[value];
        if (copy.binding) copy.binding->operand = copy_operand(copy.binding->operand, written, operands, to);
        to.values.push_back(std::move(copy));
        return values[value] = static_cast<ValueId>(to.values.size()) - 1;
    }

    OperandId copy_operand(OperandId operand, bool written, std::vector<OperandId>& operands, EdgeProgram& to) const {
        if (operands[operand] >= 0) return operands[operand];
        const std::size_t own = program_.operands.size(), id = static_cast<std::size_t>(operand);
        Operand copy = id < own ? program_.operands[id] : tiles_[id - own];
        if (copy.tile) copy.role = written ? Role::output : Role::input;
        to.operands.push_back(std::move(copy));
        return operands[operand] = static_cast<OperandId>(to.operands.size()) - 1;
    }

    const EdgeProgram& program_;
    std::vector<Part> parts_;              ///< by statement
    std::vector<std::set<Part>> of_part_;  ///< by value
    std::vector<Value> bound_;             ///< the values, those at the cuts in tiles
    std::vector<Operand> tiles_;
};

}  // namespace

bool has_layer(const EdgeProgram& program) { return std::ranges::any_of(program.operands, is_layer_operand); }

LayerSplit split_layer(const EdgeProgram& program) { return Splitter(program).run(); }

}  // namespace flashtp
