#include "compiler/order_scalars.hpp"

#include <algorithm>
#include <compare>

namespace flashtp {

namespace {

/// A term with the statement it comes from.
struct Summand {
    int statement;
    const Entry* entry;
};

class Orderer {
  public:
    Orderer(const Nest& nest, const std::vector<int>& statements, const std::vector<ScalarRole>& roles,
            std::vector<std::vector<bool>>& initialized)
        : program_(nest.program()), roles_(roles), initialized_(initialized), task_paths_(nest.task().paths) {
        index(statements);
    }

    std::vector<ScalarStep> run() {
        for (const int sink : sinks_in_order()) {
            require_factors(terms_[sink]);
            add_to_sum(sink);
        }
        return std::move(steps_);
    }

  private:
    struct Component {
        std::vector<int> writers;  // terms, in statement order
        std::vector<int> sinks;    // terms of accumulators that read it
        bool done = false;
    };

    ScalarRole role(ValueId v) const { return roles_[v]; }
    const Statement& statement(const Summand& t) const { return program_.statements[t.statement]; }
    Component& component(ValueId v, int k) { return components_[v][k]; }

    void index(const std::vector<int>& statements) {
        components_.resize(program_.values.size());
        for (std::size_t v = 0; v < components_.size(); ++v) components_[v].resize(program_.values[v].components);
        loaded_.resize(components_.size());
        for (const int s : statements)
            for (const Entry& entry : program_.statements[s].entries) add_term({s, &entry});
        waits_.assign(terms_.size(), 0);
        added_.assign(terms_.size(), false);
        for (int t = 0; t < static_cast<int>(terms_.size()); ++t)
            if (role(statement(terms_[t]).dst.value) == ScalarRole::sum) index_sink(t);
    }

    void add_term(const Summand& term) {
        const ValueId dst = statement(term).dst.value;
        if (role(dst) == ScalarRole::temp) component(dst, term.entry->dst).writers.push_back(static_cast<int>(terms_.size()));
        terms_.push_back(term);
    }

    void index_sink(int t) {
        sinks_.push_back(t);
        for_each_factor(terms_[t], [&](ValueId v, int k) {
            if (role(v) != ScalarRole::temp) return;
            component(v, k).sinks.push_back(t);
            ++waits_[t];
        });
    }

    template <class Visit>
    void for_each_factor(const Summand& term, Visit visit) const {
        visit(statement(term).a.value, term.entry->a);
        if (statement(term).b) visit(statement(term).b->value, term.entry->b);
    }

    int position(int path) const {
        const auto at = std::find(task_paths_.begin(), task_paths_.end(), path);
        return static_cast<int>(at - task_paths_.begin());
    }

    /// Where a term of an accumulator stands: with the group of paths that share products; there, with the terms that draw on the
    /// same shared value, so that its components die before those of the next (a primal product and its tangent are never alive
    /// together); then by path.
    struct SinkKey {
        int group = -1, shared = -1, path = -1;
        auto operator<=>(const SinkKey&) const = default;
    };

    // Paths that read one shared temporary form a group, named by the last of them in the task's order.
    std::vector<int> group_of_paths() const {
        std::vector<int> group(task_paths_.size());
        for (int i = 0; i < static_cast<int>(group.size()); ++i) group[i] = i;
        std::vector<int> reader(program_.values.size(), -1);
        const auto join = [&](ValueId v, int path) {
            if (role(v) != ScalarRole::temp || path < 0) return;
            const int at = position(path);
            if (reader[v] >= 0) std::ranges::replace(group, std::min(group[reader[v]], group[at]), std::max(group[reader[v]], group[at]));
            reader[v] = at;
        };
        for (const Summand& term : terms_) {
            const Statement& s = statement(term);
            join(s.dst.value, s.path);
            join(s.a.value, s.path);
            if (s.b) join(s.b->value, s.path);
        }
        return group;
    }

    std::vector<int> sinks_in_order() {
        const std::vector<int> group = group_of_paths();
        std::vector<SinkKey> of_value(program_.values.size()), keys(terms_.size());
        for (int t = 0; t < static_cast<int>(terms_.size()); ++t) {
            const Statement& s = statement(terms_[t]);
            SinkKey& key = keys[t];
            if (s.path >= 0) key.path = position(s.path), key.group = group[key.path];
            for_each_factor(terms_[t], [&](ValueId v, int) {
                if (role(v) != ScalarRole::temp) return;
                key.group = std::max(key.group, of_value[v].group);
                key.shared = std::max(key.shared, s.path < 0 ? v : of_value[v].shared);
            });
            SinkKey& dst = of_value[s.dst.value];
            dst.group = std::max(dst.group, key.group);
            dst.shared = std::max(dst.shared, s.path < 0 ? s.dst.value : key.shared);
        }
        std::vector<int> order = sinks_;
        std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return keys[a] < keys[b]; });
        return order;
    }

    void require_factors(const Summand& term) {
        for_each_factor(term, [&](ValueId v, int k) { require(v, k); });
    }

    void require(ValueId v, int k) {
        if (role(v) == ScalarRole::load) load(v);
        if (role(v) == ScalarRole::temp) compute(v, k);
    }

    void load(ValueId v) {
        if (loaded_[v]) return;
        loaded_[v] = true;
        ScalarStep step;
        step.kind = ScalarStep::Kind::load;
        step.dst = v;
        steps_.push_back(step);
    }

    bool is_zero(ValueId v, int k) { return role(v) == ScalarRole::temp && component(v, k).writers.empty(); }
    bool is_zero(const Summand& term) {
        bool zero = false;
        for_each_factor(term, [&](ValueId v, int k) { zero |= is_zero(v, k); });
        return zero;
    }

    void compute(ValueId v, int k) {
        Component& c = component(v, k);
        if (c.done) return;
        c.done = true;
        bool first = true;
        for (const int t : c.writers) {
            if (is_zero(terms_[t])) continue;
            require_factors(terms_[t]);
            emit(terms_[t], first);
            first = false;
        }
        if (first) emit_zero(v, k);
        for (const int sink : c.sinks)
            if (--waits_[sink] == 0) add_ready_sum(sink);
    }

    // Reached when the last temporary of the term was computed; its other factors may still have to be loaded.
    void add_ready_sum(int sink) {
        require_factors(terms_[sink]);
        add_to_sum(sink);
    }

    void add_to_sum(int sink) {
        if (added_[sink]) return;
        added_[sink] = true;
        const Summand& term = terms_[sink];
        if (is_zero(term)) return;
        const ValueId v = statement(term).dst.value;
        emit(term, !initialized_[v][term.entry->dst]);
        initialized_[v][term.entry->dst] = true;
    }

    void emit(const Summand& term, bool first) {
        const Statement& s = statement(term);
        ScalarStep step;
        step.dst = s.dst.value;
        step.component = term.entry->dst;
        step.first = first;
        step.value = term.entry->value;
        step.a = s.a.value;
        step.a_component = term.entry->a;
        if (s.b) step.b = s.b->value, step.b_component = term.entry->b;
        steps_.push_back(step);
    }

    void emit_zero(ValueId v, int k) {
        ScalarStep step;
        step.kind = ScalarStep::Kind::zero;
        step.dst = v;
        step.component = k;
        steps_.push_back(step);
    }

    const EdgeProgram& program_;
    const std::vector<ScalarRole>& roles_;
    std::vector<std::vector<bool>>& initialized_;
    const std::vector<int>& task_paths_;
    std::vector<Summand> terms_;
    std::vector<int> sinks_, waits_;
    std::vector<bool> added_, loaded_;
    std::vector<std::vector<Component>> components_;
    std::vector<ScalarStep> steps_;
};

}  // namespace

std::vector<ScalarStep> order_scalars(const Nest& nest, const std::vector<int>& statements, const std::vector<ScalarRole>& roles,
                                      std::vector<std::vector<bool>>& initialized) {
    return Orderer(nest, statements, roles, initialized).run();
}

}  // namespace flashtp
