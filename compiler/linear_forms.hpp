// Distinct linear forms in the components of one value. Forms that are equal up to sign are one form.
#pragma once

#include <limits>
#include <map>
#include <utility>
#include <vector>

namespace flashtp {

/// sum of coefficient * component, sorted by component.
using LinearForm = std::vector<std::pair<int, double>>;

/// Relative: equal coefficients differ by the rounding of their square roots only; what differs by more is another number.
inline constexpr double coefficient_tolerance = 4 * std::numeric_limits<double>::epsilon();

struct ScaledForm {
    int component = 0;
    double sign = 1;  ///< the form asked for is sign times the stored one
};

class LinearForms {
  public:
    /// The stored form equal to `form` up to sign, added when there is none. Stored forms start with a positive coefficient.
    ScaledForm find_or_add(const LinearForm& form);

  private:
    /// Components read, then the first coefficient: forms equal to rounding are neighbours.
    std::multimap<std::pair<std::vector<int>, double>, std::pair<LinearForm, int>> forms_;
};

}  // namespace flashtp
