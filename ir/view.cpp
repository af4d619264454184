#include "ir/view.hpp"

#include <algorithm>
#include <cmath>

#include "ir/error.hpp"

namespace flashtp {
namespace {

/// Number of pairs u < v whose u is smaller than the given one.
std::int64_t pairs_before(std::int64_t multiplicity, std::int64_t u) { return u * (2 * multiplicity - u - 1) / 2; }

std::int64_t largest_channel(const PairAxis& pair) { return pair.multiplicity - (pair.second ? 1 : 2); }

}  // namespace

std::int64_t View::position(const std::vector<std::int64_t>& indices, int component) const {
    if (indices.size() != axes.size()) internal_error("{} indices for view {}", indices.size(), to_string(*this));
    if (pair && axes.empty()) internal_error("a view of pairs has no axis to number them: {}", to_string(*this));
    std::int64_t at = offset + component_stride * component;
    for (std::size_t axis = 0; axis < axes.size(); ++axis) {
        std::int64_t index = indices[axis];
        if (pair && axis == 0) {
            const auto [u, v] = unrank_pair(pair->multiplicity, index);
            index = pair->second ? v : u;
        }
        at += axes[axis].stride * index;
    }
    return at;
}

std::int64_t View::end() const {
    std::int64_t last = offset + std::max<std::int64_t>(0, component_stride * (components - 1));
    for (std::size_t axis = 0; axis < axes.size(); ++axis) {
        if (axes[axis].extent <= 0) return offset;  // an empty view has no position
        const std::int64_t index = pair && axis == 0 ? largest_channel(*pair) : axes[axis].extent - 1;
        last += std::max<std::int64_t>(0, axes[axis].stride * index);
    }
    return components > 0 ? last + 1 : offset;
}

std::pair<std::int64_t, std::int64_t> unrank_pair(std::int64_t multiplicity, std::int64_t q) {
    // The root of pairs_before(u) = q. Exact: the radicand is an integer, and roots of neighbouring integers below 2^53 differ by
    // far more than the rounding of the square root.
    const double b = 2.0 * static_cast<double>(multiplicity) - 1.0;
    const auto u = static_cast<std::int64_t>((b - std::sqrt(b * b - 8.0 * static_cast<double>(q))) / 2.0);
    return {u, u + 1 + q - pairs_before(multiplicity, u)};
}

Operand twin_of(const Operand& operand, std::string_view prefix, Role role) {
    Operand twin = operand;
    twin.name.insert(0, prefix);
    twin.role = role;
    if (!operand.stored_once) twin.storage.reset();
    return twin;
}

std::string_view to_string(Row row) {
    switch (row) {
    case Row::edge: return "edge";
    case Row::sender: return "sender";
    case Row::receiver: return "receiver";
    case Row::shared: return "shared";
    }
    internal_error("row kind {}", static_cast<int>(row));
}

std::string_view to_string(Role role) { return role == Role::input ? "input" : "output"; }

std::string to_string(const View& view) {
    std::string text = fmt::format("at {}", view.offset);
    for (const ViewAxis& axis : view.axes) text += fmt::format(", {} by {}", axis.extent, axis.stride);
    text += fmt::format(", components {} by {}", view.components, view.component_stride);
    if (view.pair) text += fmt::format(", {} of pairs u<v of {}", view.pair->second ? 'v' : 'u', view.pair->multiplicity);
    return text;
}

}  // namespace flashtp
