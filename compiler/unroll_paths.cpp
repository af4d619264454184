#include "compiler/unroll_paths.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace flashtp {

namespace {

/// Straight-line code of all paths, in coefficients; beyond, it would not fit a task.
constexpr std::int64_t most_channels = 8, most_coefficients = 256;

/// The label of the second input's channels, or 0: the path stays as it is.
char unrolled_label(const Path& path) {
    const std::string &x = path.labels[slot_x], &y = path.labels[slot_y], &z = path.labels[slot_z];
    const bool two_axes = x.size() == 1 && y.size() == 1 && x != y && z.find(x[0]) != std::string::npos;
    const auto known = [&](char label) { return label == x[0] || label == y[0]; };
    for (const std::string& labels : path.labels)
        for (const char label : labels)
            if (!two_axes || !known(label)) return 0;
    return two_axes && path.views[slot_y]->axes[0].extent <= most_channels ? y[0] : char{0};
}

std::int64_t channels(const Path& path) { return unrolled_label(path) ? path.views[slot_y]->axes[0].extent : 1; }

Path with_channel(Path path, char label, std::int64_t channel) {
    for (std::size_t slot = 0; slot < path.views.size(); ++slot) {
        const std::size_t axis = path.labels[slot].find(label);
        if (axis == std::string::npos) continue;
        View& view = *path.views[slot];
        view.offset += channel * view.axes[axis].stride;
        view.axes.erase(view.axes.begin() + static_cast<std::ptrdiff_t>(axis));
        path.labels[slot].erase(axis, 1);
    }
    path.name += fmt::format(", {} = {}", label, channel);
    return path;
}

}  // namespace

PathProgram unroll_paths(const PathProgram& program) {
    std::int64_t coefficients = 0;
    for (const Path& path : program.paths) coefficients += channels(path) * static_cast<std::int64_t>(path.coefficients.size());
    // Products of a hidden layer and its bias take the weights of an instruction as one range of a row.
    if (coefficients > most_coefficients || std::ranges::any_of(program.paths, has_hidden_layer)) return program;
    PathProgram result{program.operands, {}, {}};
    for (const Term& term : program.terms) {
        const Path& path = program.paths[static_cast<std::size_t>(term.path)];
        const char label = unrolled_label(path);
        for (std::int64_t channel = 0; channel < channels(path); ++channel) {
            result.terms.push_back(term);
            result.terms.back().path = static_cast<int>(result.paths.size());
            result.paths.push_back(label ? with_channel(path, label, channel) : path);
        }
    }
    return result;
}

}  // namespace flashtp
