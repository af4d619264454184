#include "ir/request.hpp"

#include <algorithm>

#include "ir/error.hpp"
#include "ir/nearest.hpp"

namespace flashtp {
namespace {

constexpr int highest_order = 3;

void check_order(int order) {
    if (order < 0 || order > highest_order) user_error("order {}: must be from 0 to {}", order, highest_order);
}

std::vector<std::string> prefixed(const std::string& prefix, const std::vector<std::string>& names) {
    std::vector<std::string> result;
    for (const std::string& name : names) result.push_back(prefix + name);
    return result;
}

std::vector<std::string> joined(std::vector<std::string> names, const std::vector<std::string>& more) {
    names.insert(names.end(), more.begin(), more.end());
    return names;
}

/// Each name is one of the allowed ones and appears once.
void check_names(const std::vector<std::string>& names, const std::vector<std::string>& allowed, const char* what, int order) {
    for (std::size_t n = 0; n < names.size(); ++n) {
        const std::string& name = names[n];
        if (std::find(allowed.begin(), allowed.end(), name) == allowed.end())
            user_error("{} {} is not one of order {}: {}{}", what, quote(name), order,
                       allowed.empty() ? "it has none" : fmt::format("{}", fmt::join(allowed, " ")),
                       did_you_mean(name, {allowed.begin(), allowed.end()}));
        if (std::find(names.begin(), names.begin() + static_cast<std::ptrdiff_t>(n), name) !=
            names.begin() + static_cast<std::ptrdiff_t>(n))
            user_error("{} {} is named twice", what, quote(name));
    }
}

}  // namespace

const std::vector<std::string>& forward_inputs() {
    static const std::vector<std::string> names{"x", "y", "w", "h", "W2", "b"};
    return names;
}

std::vector<std::string> outputs_of_order(int order, const std::vector<std::string>& inputs) {
    check_order(order);
    switch (order) {
    case 0: return {"z"};
    case 1: return prefixed("d_", inputs);
    case 2: return joined({"t_z"}, prefixed("t_d_", inputs));
    default: return joined(joined(prefixed("d_", inputs), {"d_d_z"}), prefixed("d_t_", inputs));
    }
}

std::vector<std::string> cotangents_of_order(int order, const std::vector<std::string>& inputs) {
    check_order(order);
    switch (order) {
    case 2: return prefixed("t_", inputs);
    case 3: return joined(joined(prefixed("t_", inputs), {"d_t_z"}), prefixed("d_t_d_", inputs));
    default: return {};
    }
}

void validate(const Request& request) {
    check_names(request.outputs, outputs_of_order(request.order, forward_inputs()), "output", request.order);
    check_names(request.absent, cotangents_of_order(request.order, forward_inputs()), "absent cotangent", request.order);
}

std::string to_string(const Request& request) {
    std::string text = fmt::format("order {}", request.order);
    if (!request.outputs.empty()) text += fmt::format(", outputs {}", fmt::join(request.outputs, " "));
    if (!request.absent.empty()) text += fmt::format(", absent {}", fmt::join(request.absent, " "));
    return text;
}

}  // namespace flashtp
