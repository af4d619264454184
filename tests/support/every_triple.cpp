#include "tests/support/every_triple.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include "ir/connection_modes.hpp"

namespace flashtp::test {

namespace {

int natural_parity(int l) { return l % 2 == 0 ? 1 : -1; }

Irreps natural_irreps(std::int64_t multiplicity, int max_l) {
    std::vector<MulIrrep> segments;
    for (int l = 0; l <= max_l; ++l) segments.push_back({multiplicity, {l, natural_parity(l)}});
    return Irreps(segments);
}

Multiplicities small_multiplicities(const ConnectionModeRow& row, bool weighted) {
    const std::int64_t out = weighted ? 2 : 1;  // of the modes that leave it free; without weights it must be 1
    if (row.labels[0] == "q") return {3, 3, out};
    return {2, row.labels[0] == row.labels[1] ? 2 : 3, out};
}

/// Index of the segment, added when there is none.
int segment_index(std::vector<MulIrrep>& segments, const MulIrrep& wanted) {
    const auto found = std::ranges::find(segments, wanted);
    if (found != segments.end()) return static_cast<int>(found - segments.begin());
    segments.push_back(wanted);
    return static_cast<int>(segments.size()) - 1;
}

}  // namespace

Problem every_triple(ConnectionMode mode, bool weighted, int max_l) {
    const ConnectionModeRow& row = row_of(mode);
    const Multiplicities m = small_multiplicities(row, weighted);
    const std::int64_t out_multiplicity = product_of_extents(row.labels[3], m);
    Problem problem;
    problem.name = std::string(row.name);
    problem.irreps_in1 = natural_irreps(m.in1, max_l);
    problem.irreps_in2 = natural_irreps(m.in2, max_l);
    problem.dtype = DType::float64;
    std::vector<MulIrrep> out;
    constexpr std::array path_weights{1.0, 0.5, 2.0};
    for (int l1 = 0; l1 <= max_l; ++l1) {
        for (int l2 = 0; l2 <= max_l; ++l2) {
            for (int l3 = std::abs(l1 - l2); l3 <= std::min(l1 + l2, max_l); ++l3) {
                const int k = segment_index(out, {out_multiplicity, {l3, natural_parity(l1 + l2)}});
                const double path_weight = path_weights[problem.instructions.size() % path_weights.size()];
                problem.instructions.push_back({l1, l2, k, mode, weighted, path_weight});
            }
        }
    }
    problem.irreps_out = Irreps(out);
    return problem;
}

Problem uvu_layer(const std::string& irreps_in1, const std::string& irreps_in2, bool natural_only) {
    constexpr int max_l = 3;
    Problem problem;
    problem.irreps_in1 = Irreps::parse(irreps_in1);
    problem.irreps_in2 = Irreps::parse(irreps_in2);
    std::vector<MulIrrep> out;
    for (int i = 0; i < std::ssize(problem.irreps_in1); ++i) {
        for (int j = 0; j < std::ssize(problem.irreps_in2); ++j) {
            const auto& [m1, x] = problem.irreps_in1[static_cast<std::size_t>(i)];
            const Irrep y = problem.irreps_in2[static_cast<std::size_t>(j)].irrep;
            const int parity = x.parity * y.parity;
            for (int l = std::abs(x.l - y.l); l <= std::min(x.l + y.l, max_l); ++l) {
                if (natural_only && parity != natural_parity(l)) continue;
                problem.instructions.push_back({i, j, static_cast<int>(out.size()), ConnectionMode::uvu, true, 1.0});
                out.push_back({m1, {l, parity}});
            }
        }
    }
    problem.irreps_out = Irreps(out);
    return problem;
}

Problem sevennet_l3i5_layer() { return uvu_layer("128x0e+64x1e+32x2e+32x3e", "1x0e+1x1e+1x2e+1x3e"); }

Problem nequip_l3_layer() { return uvu_layer("32x0e+32x0o+32x1e+32x2e+32x3e+32x1o+32x2o+32x3o", "1x0e+1x1o+1x2e+1x3o"); }

Problem mace_large_layer() { return uvu_layer("256x0e+256x1o", "1x0e+1x1o+1x2e+1x3o", true); }

}  // namespace flashtp::test
