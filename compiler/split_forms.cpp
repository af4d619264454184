#include "compiler/split_forms.hpp"

#include <algorithm>
#include <iterator>
#include <optional>
#include <utility>
#include <variant>

#include "compiler/keep_outputs.hpp"

namespace flashtp {

namespace {

/// The first lane has the numbers, the others have zeros: sums over lanes bring as many numbers together as a vector holds.
void use_first_lane(Block& block) {
    for (KernelStatement& statement : block) {
        if (auto* load = std::get_if<Load>(&statement.node)) load->from.lane_stride = load->from.active = 1;
        if (auto* loop = std::get_if<For>(&statement.node)) use_first_lane(loop->body);
        if (auto* branch = std::get_if<If>(&statement.node)) use_first_lane(branch->body);
        if (const auto* store = std::get_if<Store>(&statement.node))
            statement.node = ReduceStore{store->to, store->src, store->mode};
    }
}

class FormSplitter {
  public:
    explicit FormSplitter(const EdgeProgram& program) : program_(program), form_(forms()), tile_(program.values.size()) {}

    LayerSplit run() {
        LayerSplit split{{}, program_, {}, {}};
        place_in_tile();
        if (width_ == 0) return split;
        const Operand tile{"forms", width_, Row::edge, Role::input, true};
        split.tiles = {tile};
        split.before = keep_outputs(part(true, tile), {tile.name});
        split.main = without_dead_code(part(false, tile));
        return split;
    }

  private:
    /// Values that nothing with channels or other rows goes into.
    std::vector<bool> forms() const {
        std::vector<bool> form;
        for (const Value& v : program_.values) form.push_back(v.extents.empty() && v.row == Row::edge && !v.binding);
        for (bool changed = true; changed;) {
            changed = false;
            for (const Statement& s : program_.statements) {
                if (!form[s.dst.value] || (makes_form(s.a, form) && (!s.b || makes_form(*s.b, form)))) continue;
                form[s.dst.value] = false;
                changed = true;
            }
        }
        return form;
    }

    bool makes_form(const Use& use, const std::vector<bool>& form) const {
        const Value& v = program_.values[use.value];
        return form[use.value] || (program_.is_input(use.value) && v.extents.empty() && v.row == Row::edge);
    }

    void place_in_tile() {
        for (const Statement& s : program_.statements) {
            if (form_[s.dst.value]) continue;
            place(s.a.value);
            if (s.b) place(s.b->value);
        }
    }

    void place(ValueId v) {
        if (!form_[v] || tile_[v]) return;
        const int components = program_.values[v].components;
        tile_[v] = Binding{static_cast<OperandId>(program_.operands.size()), View{width_, {}, components}};
        width_ += components;
    }

    EdgeProgram part(bool forms, Operand tile) const {
        EdgeProgram result;
        result.values = program_.values;
        for (std::size_t v = 0; v < tile_.size(); ++v)
            if (tile_[v]) result.values[v].binding = tile_[v];
        tile.role = forms ? Role::output : Role::input;
        result.operands = program_.operands;
        result.operands.push_back(std::move(tile));
        std::ranges::copy_if(program_.statements, std::back_inserter(result.statements),
                             [&](const Statement& s) { return form_[s.dst.value] == forms; });
        // One task without paths makes them, a path's weight as well, where it is a single number.
        if (forms) std::ranges::for_each(result.statements, [](Statement& s) { s.path = -1; });
        return result;
    }

    const EdgeProgram& program_;
    std::vector<bool> form_;                    ///< by value
    std::vector<std::optional<Binding>> tile_;  ///< by value that `main` reads
    std::int64_t width_ = 0;
};

}  // namespace

bool reads_forms(const EdgeProgram& program) {
    return std::ranges::any_of(program.values, [&](const Value& v) {
        return v.binding && v.extents.empty() && program.operands[v.binding->operand].tile;
    });
}

Kernel in_lanes(Kernel kernel) {
    for (KernelTask& task : kernel.tasks) {
        for (Register& r : task.registers) r.uniform = false;
        use_first_lane(task.body);
    }
    return kernel;
}

LayerSplit split_forms(const EdgeProgram& program) { return FormSplitter(program).run(); }

}  // namespace flashtp
