#include "tests/support/mode_problem.hpp"

#include <algorithm>
#include <cstdlib>

#include <fmt/format.h>

#include "ir/connection_modes.hpp"

namespace flashtp::test {
namespace {

Irreps one_segment_a_degree(int max_l, std::int64_t multiplicity) {
    std::vector<MulIrrep> segments;
    for (int l = 0; l <= max_l; ++l) segments.push_back({multiplicity, {l, l % 2 == 0 ? 1 : -1}});
    return Irreps(std::move(segments));
}

}  // namespace

Problem mode_problem(const ModeProblem& what) {
    const ConnectionModeRow& row = row_of(what.mode);
    Multiplicities m{what.in1, what.in2, what.out};
    if (row.labels[0] == row.labels[1]) m.in2 = m.in1;
    if (row.labels[3] != "w")
        m.out = product_of_extents(row.labels[3], m);
    else if (!what.weighted)
        m.out = 1;

    Problem problem;
    problem.name = to_string(what);
    problem.irreps_in1 = one_segment_a_degree(what.max_l, m.in1);
    problem.irreps_in2 = one_segment_a_degree(what.max_l, m.in2);
    std::vector<MulIrrep> out;
    for (int l1 = 0; l1 <= what.max_l; ++l1) {
        for (int l2 = 0; l2 <= what.max_l; ++l2) {
            for (int l3 = std::abs(l1 - l2); l3 <= std::min(l1 + l2, what.max_l); ++l3) {
                problem.instructions.push_back({l1, l2, static_cast<int>(out.size()), what.mode, what.weighted, 1.0});
                out.push_back({m.out, {l3, (l1 + l2) % 2 == 0 ? 1 : -1}});
            }
        }
    }
    problem.irreps_out = Irreps(std::move(out));
    problem.shared_weights = what.shared_weights;
    problem.convolution = what.convolution;
    problem.dtype = what.dtype;
    validate(problem);
    return problem;
}

bool allows(ConnectionMode mode, bool weighted) { return weighted || !row_of(mode).must_be_weighted; }

std::vector<ModeProblem> all_mode_problems(int max_l) {
    std::vector<ModeProblem> all;
    for (const ConnectionModeRow& row : connection_modes()) {
        for (const bool convolution : {false, true}) {
            for (const bool weighted : {true, false}) {
                for (const bool shared : {false, true}) {
                    const bool exists = allows(row.mode, weighted) && (weighted || !shared);  // no weights: nothing to share
                    if (!exists) continue;
                    ModeProblem what;
                    what.mode = row.mode;
                    what.weighted = weighted;
                    what.shared_weights = shared;
                    what.convolution = convolution;
                    what.max_l = max_l;
                    all.push_back(what);
                }
            }
        }
    }
    return all;
}

std::string to_string(const ModeProblem& what) {
    return fmt::format("{}{}{}{}", flashtp::to_string(what.mode), what.weighted ? "" : " unweighted",
                       what.shared_weights ? " shared" : "", what.convolution ? " convolution" : "");
}

}  // namespace flashtp::test
