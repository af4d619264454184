// What every EdgeProgram must satisfy. A pass that breaks it is wrong, so the whole program is part of the message.
#include <map>
#include <set>

#include "ir/edge_program.hpp"
#include "ir/error.hpp"

namespace flashtp {

namespace {

class Verifier {
  public:
    explicit Verifier(const EdgeProgram& program)
        : program_(program), written_(program.values.size()), read_(program.values.size()), late_(program.values.size()) {}

    void run() {
        check_names();
        for (std::size_t id = 0; id < program_.values.size(); ++id) check_value(static_cast<ValueId>(id));
        for (const Statement& s : program_.statements) check_statement(s);
    }

  private:
    template <class... Args>
    void require(bool holds, fmt::format_string<Args...> rule, Args&&... args) const {
        if (holds) return;
        internal_error("edge program: {}\n{}", fmt::format(rule, std::forward<Args>(args)...), printed());
    }

    /// The program as text, or why it is too broken to print.
    std::string printed() const {
        try {
            return to_string(program_);
        } catch (const std::exception& error) {
            return fmt::format("(not printable: {})", error.what());
        }
    }

    void check_names() const {
        std::set<std::string> operands, values;
        for (const Operand& o : program_.operands) {
            require(operands.insert(o.name).second, "two operands are called {}", o.name);
            require(o.width >= 0, "operand {} has negative width", o.name);
        }
        for (const Value& v : program_.values) require(values.insert(v.name).second, "two values are called {}", v.name);
    }

    void check_value(ValueId id) const {
        const Value& v = program_.values[id];
        require(v.components > 0, "{} has no components", v.name);
        for (const std::int64_t extent : v.extents) require(extent > 0, "{} has an empty axis", v.name);
        if (!v.binding) {
            require(v.row != Row::sender, "{} is not in an operand but has sender rows", v.name);
            return;
        }
        const auto& [operand, view] = *v.binding;
        require(operand >= 0 && operand < static_cast<int>(program_.operands.size()), "{} is in no operand", v.name);
        const Operand& o = program_.operands[operand];
        require(v.row == o.row, "{} has other rows than {}", v.name, o.name);
        require(v.components == view.components, "{} has other components than its view", v.name);
        require(v.extents.size() == view.axes.size(), "{} has other axes than its view", v.name);
        for (std::size_t axis = 0; axis < view.axes.size(); ++axis) {
            require(v.extents[axis] == view.axes[axis].extent, "{} has another extent than its view", v.name);
        }
        require(view.offset >= 0 && view.end() <= o.width, "{} reaches beyond {}", v.name, o.name);
    }

    void check_use(const Use& use, std::map<char, std::int64_t>& extents) const {
        require(use.value >= 0 && use.value < static_cast<int>(program_.values.size()), "a use of no value");
        const Value& v = program_.values[use.value];
        require(use.labels.size() == v.extents.size(), "{} is used with labels [{}]", v.name, use.labels);
        require(std::set<char>(use.labels.begin(), use.labels.end()).size() == use.labels.size(),
                "{} is used with a label twice: [{}]", v.name, use.labels);
        for (std::size_t axis = 0; axis < v.extents.size(); ++axis) {
            const auto [entry, added] = extents.emplace(use.labels[axis], v.extents[axis]);
            require(added || entry->second == v.extents[axis], "label {} of {} has two extents", use.labels[axis], v.name);
        }
    }

    void check_component(const Use& use, int component) const {
        const Value& v = program_.values[use.value];
        require(component >= 0 && component < v.components, "{} has no component {}", v.name, component);
    }

    void check_statement(const Statement& s) {
        std::map<char, std::int64_t> extents;
        check_use(s.dst, extents);
        check_use(s.a, extents);
        if (s.b) check_use(*s.b, extents);
        for (const Entry& e : s.entries) {
            check_component(s.dst, e.dst);
            check_component(s.a, e.a);
            if (s.b) check_component(*s.b, e.b);
        }
        const Row space = space_of(program_, s);
        bool late = read(s.a.value, space);
        if (s.b) late = read(s.b->value, space) || late;
        write(s.dst.value, space, late);
    }

    /// Whether the value is complete only after the sweep over the edges.
    bool read(ValueId id, Row space) {
        const std::string& name = program_.values[id].name;
        require(!program_.is_output(id), "{} is read from an output", name);
        require(program_.is_input(id) || written_[id], "{} is read before it is written", name);
        require(space != Row::edge || !late_[id], "{} is a sum over edges and read on edges: two sweeps", name);
        read_[id] = true;
        return late_[id];
    }

    void write(ValueId id, Row space, bool late) {
        const Value& v = program_.values[id];
        require(!program_.is_input(id), "{} is written to an input", v.name);
        require(!read_[id], "{} is written after it was read", v.name);
        written_[id] = true;
        if (late || (space == Row::edge && v.row != Row::edge)) late_[id] = true;
    }

    const EdgeProgram& program_;
    std::vector<bool> written_, read_, late_;
};

}  // namespace

void verify(const EdgeProgram& program) { Verifier(program).run(); }

}  // namespace flashtp
