#include "compiler/order_scalars.hpp"

#include <algorithm>

namespace flashtp {

namespace {

/// A term with the statement it comes from.
struct Term {
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
    const Statement& statement(const Term& t) const { return program_.statements[t.statement]; }
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

    void add_term(const Term& term) {
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
    void for_each_factor(const Term& term, Visit visit) const {
        visit(statement(term).a.value, term.entry->a);
        if (statement(term).b) visit(statement(term).b->value, term.entry->b);
    }

    // A statement shared by paths belongs after the last path it draws from, so that what a group of paths shares dies with it.
    int position(int path) const {
        const auto at = std::find(task_paths_.begin(), task_paths_.end(), path);
        return static_cast<int>(at - task_paths_.begin());
    }

    std::vector<int> sinks_in_order() {
        std::vector<int> last(program_.values.size(), -1);
        std::vector<int> key(terms_.size(), -1);
        int previous = -1;
        for (int t = 0; t < static_cast<int>(terms_.size()); ++t) {
            const Term& term = terms_[t];
            if (term.statement != previous) {
                const Statement& s = statement(term);
                int k = s.path >= 0 ? position(s.path) : -1;
                k = std::max(k, last[s.a.value]);
                if (s.b) k = std::max(k, last[s.b->value]);
                last[s.dst.value] = std::max(last[s.dst.value], k);
                statement_key_ = k;
                previous = term.statement;
            }
            key[t] = statement_key_;
        }
        std::vector<int> order = sinks_;
        std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return key[a] < key[b]; });
        return order;
    }

    void require_factors(const Term& term) {
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
    bool is_zero(const Term& term) {
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
        const Term& term = terms_[sink];
        if (is_zero(term)) return;
        const ValueId v = statement(term).dst.value;
        emit(term, !initialized_[v][term.entry->dst]);
        initialized_[v][term.entry->dst] = true;
    }

    void emit(const Term& term, bool first) {
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
    std::vector<Term> terms_;
    std::vector<int> sinks_, waits_;
    std::vector<bool> added_, loaded_;
    std::vector<std::vector<Component>> components_;
    std::vector<ScalarStep> steps_;
    int statement_key_ = -1;
};

}  // namespace

std::vector<ScalarStep> order_scalars(const Nest& nest, const std::vector<int>& statements, const std::vector<ScalarRole>& roles,
                                      std::vector<std::vector<bool>>& initialized) {
    return Orderer(nest, statements, roles, initialized).run();
}

}  // namespace flashtp
