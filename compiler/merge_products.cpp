#include "compiler/merge_products.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <map>
#include <queue>
#include <set>

namespace flashtp {

namespace {

bool same_size(double a, double b) { return std::abs(std::abs(a) - std::abs(b)) <= coefficient_tolerance * std::abs(b); }

/// Two products and the sign of the second against the first.
struct Pair {
    int a = 0, b = 0;
    double sign = 1;
    auto operator<=>(const Pair&) const = default;
};

class Merger {
  public:
    Merger(const std::vector<LinearForm>& rows, MergeCosts costs) : costs_(costs), merged_(rows.size()) {
        for (const LinearForm& row : rows) left_.emplace_back(row.begin(), row.end());
    }

    MergedProducts run() {
        collect();
        while (!queue_.empty()) take_best();
        return result();
    }

  private:
    /// Pairs by the number of rows that have them; among equals the first.
    struct Entry {
        std::size_t rows;
        Pair pair;
        bool operator<(const Entry& o) const { return rows != o.rows ? rows < o.rows : pair > o.pair; }
    };

    void collect() {
        for (std::size_t row = 0; row < left_.size(); ++row)
            for (auto a = left_[row].begin(); a != left_[row].end(); ++a)
                for (auto b = std::next(a); b != left_[row].end(); ++b)
                    if (same_size(a->second, b->second))
                        rows_of_[{a->first, b->first, a->second * b->second > 0 ? 1.0 : -1.0}].push_back(row);
        for (const auto& [pair, rows] : rows_of_) queue_.push({rows.size(), pair});
    }

    bool has(std::size_t row, const Pair& pair) const { return left_[row].contains(pair.a) && left_[row].contains(pair.b); }

    // A product is in two pairs as a rule, its sum and its difference, so a pair costs one product more than it frees.
    void take_best() {
        const Entry best = queue_.top();
        queue_.pop();
        std::vector<std::size_t>& rows = rows_of_[best.pair];
        std::erase_if(rows, [&](std::size_t row) { return !has(row, best.pair); });
        if (static_cast<int>(rows.size()) * costs_.term <= costs_.product) return;
        if (rows.size() < best.rows) return queue_.push({rows.size(), best.pair});
        const int sum = static_cast<int>(pairs_.size());
        pairs_.push_back(best.pair);
        for (const std::size_t row : rows) {
            merged_[row].emplace_back(sum, left_[row].at(best.pair.a));
            left_[row].erase(best.pair.a);
            left_[row].erase(best.pair.b);
        }
    }

    MergedProducts result() const {
        std::map<int, int> single;  // product -> sum
        for (const auto& row : left_)
            for (const auto& [product, coefficient] : row) single.emplace(product, 0);
        MergedProducts out;
        for (auto& [product, sum] : single) {
            sum = static_cast<int>(out.sums.size());
            out.sums.push_back({{product, 1.0}});
        }
        const int first_pair = static_cast<int>(out.sums.size());
        for (const Pair& pair : pairs_) out.sums.push_back({{pair.a, 1.0}, {pair.b, pair.sign}});
        for (std::size_t row = 0; row < left_.size(); ++row) {
            LinearForm form;
            for (const auto& [product, coefficient] : left_[row]) form.emplace_back(single.at(product), coefficient);
            for (const auto& [pair, coefficient] : merged_[row]) form.emplace_back(first_pair + pair, coefficient);
            out.rows.push_back(std::move(form));
        }
        return out;
    }

    const MergeCosts costs_;
    std::vector<std::map<int, double>> left_;  ///< by row: products that no pair took
    std::vector<LinearForm> merged_;           ///< by row: pairs
    std::vector<Pair> pairs_;
    std::map<Pair, std::vector<std::size_t>> rows_of_;
    std::priority_queue<Entry> queue_;
};

std::int64_t terms_of(const std::vector<LinearForm>& forms) {
    std::int64_t terms = 0;
    for (const LinearForm& form : forms) terms += static_cast<std::int64_t>(form.size());
    return terms;
}

std::int64_t cost_of(const MergedProducts& m, MergeCosts costs) {
    return terms_of(m.sums) * costs.product + terms_of(m.rows) * costs.term;
}

bool has_coefficient(const LinearForm& row, double size) {
    return std::ranges::any_of(row, [&](const auto& term) { return same_size(term.second, size); });
}

}  // namespace

MergeCosts merge_costs(int order) {
    constexpr MergeCosts by_order[] = {{1, 1}, {3, 2}, {9, 4}, {27, 8}};
    return by_order[std::clamp(order, 0, 3)];
}

MergedProducts merge_products(const std::vector<LinearForm>& rows, MergeCosts costs) {
    MergedProducts plain = Merger(rows, {1 << 20, 1}).run(), merged = Merger(rows, costs).run();
    return cost_of(merged, costs) < cost_of(plain, costs) ? merged : plain;
}

std::vector<double> common_scales(const std::vector<LinearForm>& rows, int fewest) {
    std::vector<double> scales(rows.size(), 1.0);
    std::set<std::size_t> open;
    for (std::size_t row = 0; row < rows.size(); ++row) open.insert(row);
    for (;;) {
        std::set<std::size_t> best;
        double scale = 1;
        for (const std::size_t row : open)
            for (const auto& [component, coefficient] : rows[row]) {
                std::set<std::size_t> sharing;
                for (const std::size_t other : open)
                    if (has_coefficient(rows[other], coefficient)) sharing.insert(other);
                if (sharing.size() > best.size()) best = std::move(sharing), scale = std::abs(coefficient);
            }
        if (static_cast<int>(best.size()) < fewest) return scales;
        for (const std::size_t row : best) scales[row] = scale, open.erase(row);
    }
}

LinearForm divided(const LinearForm& form, double scale) {
    LinearForm out = form;
    for (auto& [component, coefficient] : out)
        coefficient = same_size(coefficient, scale) ? std::copysign(1.0, coefficient) : coefficient / scale;
    std::ranges::stable_partition(out, [](const auto& term) { return std::abs(term.second) == 1; });
    return out;
}

}  // namespace flashtp
