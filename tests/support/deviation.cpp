#include "tests/support/deviation.hpp"

#include <cmath>
#include <limits>

#include <fmt/format.h>

namespace flashtp::test {

namespace {

constexpr double infinite = std::numeric_limits<double>::infinity();

double ratio_of(double error, double bound) {
    if (error == 0) return 0;
    return std::isnan(error) || bound == 0 ? infinite : error / bound;
}

Deviation deviation_of(const std::string& name, const OracleTensor& expected, const std::vector<double>& actual, double eps) {
    if (actual.size() != expected.value.size()) {
        return {infinite, fmt::format("{} has {} elements, not {}", name, actual.size(), expected.value.size())};
    }
    Deviation worst;
    for (std::size_t n = 0; n < actual.size(); ++n) {
        const double bound = error_bound(eps, expected, n);
        const double ratio = ratio_of(std::abs(actual[n] - expected.value[n]), bound);
        if (ratio <= worst.ratio) continue;
        worst = {ratio, fmt::format("{}[{}]: {}, not {}", name, n, actual[n], expected.value[n])};
    }
    return worst;
}

}  // namespace

Deviation deviation(const std::map<std::string, OracleTensor>& expected, const Tensors& actual, double eps) {
    Deviation worst;
    if (actual.size() != expected.size()) worst = {infinite, fmt::format("{} tensors, not {}", actual.size(), expected.size())};
    for (const auto& [name, tensor] : expected) {
        const auto found = actual.find(name);
        const Deviation here = found == actual.end() ? Deviation{infinite, fmt::format("{} is missing", name)}
                                                     : deviation_of(name, tensor, found->second, eps);
        if (here.ratio > worst.ratio) worst = here;
    }
    return worst;
}

}  // namespace flashtp::test
