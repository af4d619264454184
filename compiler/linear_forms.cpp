#include "compiler/linear_forms.hpp"

#include <cmath>

namespace flashtp {

namespace {

bool same_form(const LinearForm& a, const LinearForm& b) {
    for (std::size_t n = 0; n < a.size(); ++n) {
        if (std::abs(a[n].second - b[n].second) > coefficient_tolerance * std::abs(b[n].second)) return false;
    }
    return true;
}

}  // namespace

ScaledForm LinearForms::find_or_add(const LinearForm& form) {
    const double sign = form.front().second < 0 ? -1 : 1;
    LinearForm positive = form;
    std::vector<int> components;
    for (auto& [component, coefficient] : positive) {
        components.push_back(component);
        coefficient *= sign;
    }
    const double first = positive.front().second;
    const auto end = forms_.upper_bound({components, first * (1 + 2 * coefficient_tolerance)});
    for (auto it = forms_.lower_bound({components, first * (1 - 2 * coefficient_tolerance)}); it != end; ++it) {
        if (same_form(positive, it->second.first)) return {it->second.second, sign};
    }
    const int component = static_cast<int>(forms_.size());
    forms_.emplace(std::pair{components, first}, std::pair{std::move(positive), component});
    return {component, sign};
}

}  // namespace flashtp
