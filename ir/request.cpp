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

std::vector<std::string> outputs_of_order(int order) {
    check_order(order);
    switch (order) {
    case 0: return {"z"};
    case 1: return {"d_x", "d_y", "d_w"};
    case 2: return {"t_z", "t_d_x", "t_d_y", "t_d_w"};
    default: return {"d_x", "d_y", "d_w", "d_d_z", "d_t_x", "d_t_y", "d_t_w"};
    }
}

std::vector<std::string> cotangents_of_order(int order) {
    check_order(order);
    switch (order) {
    case 2: return {"t_x", "t_y", "t_w"};
    case 3: return {"t_x", "t_y", "t_w", "d_t_z", "d_t_d_x", "d_t_d_y", "d_t_d_w"};
    default: return {};
    }
}

void validate(const Request& request) {
    check_names(request.outputs, outputs_of_order(request.order), "output", request.order);
    check_names(request.absent, cotangents_of_order(request.order), "absent cotangent", request.order);
}

std::string to_string(const Request& request) {
    std::string text = fmt::format("order {}", request.order);
    if (!request.outputs.empty()) text += fmt::format(", outputs {}", fmt::join(request.outputs, " "));
    if (!request.absent.empty()) text += fmt::format(", absent {}", fmt::join(request.absent, " "));
    return text;
}

}  // namespace flashtp
