// Weights between kernels: products over edges in memory, windows that cut receivers, and what such kernels must keep to.
#include <doctest/doctest.h>

#include "codegen/dialect.hpp"
#include "codegen/emit_c.hpp"
#include "compiler/expand_paths.hpp"
#include "compiler/tile_places.hpp"
#include "ir/connection_modes.hpp"
#include "tests/ir/errors.hpp"
#include "tests/support/complaints.hpp"
#include "tests/support/every_triple.hpp"
#include "tests/support/kernel_builder.hpp"
#include "tests/support/radial_layers.hpp"
#include "tests/support/run_kernel.hpp"

using namespace flashtp;
using namespace flashtp::test;

namespace {

/// Knobs by which weights are between kernels at every order.
LoweringOptions between_kernels(const Request& request, const Target& target) {
    ScheduleKnobs knobs = default_knobs(target, request, DType::float32);
    knobs.tile_edges = 1024;
    return {.schedule = {}, .factoring = {}, .knobs = knobs, .general = false, .tuned = {}};
}

Lowered lowered(const Problem& problem, const Request& request, const char* target = "sm_90a") {
    return lower(problem, request, cuda_target(target), between_kernels(request, cuda_target(target)));
}

}  // namespace

TEST_CASE("edge products: kernels in front of the convolution make weights, kernels behind take their gradients") {
    const auto names = [](const Lowered& l) {
        std::vector<std::string> all;
        for (const Kernel& kernel : l.kernels) all.push_back(kernel.name);
        return all;
    };
    const Problem problem = radial_layer(24, true);
    using Names = std::vector<std::string>;
    CHECK(names(lowered(problem, {0, {}, {}})) == Names{"flashtp_order0_weights", "flashtp_order0"});
    CHECK(names(lowered(problem, {1, {"d_x", "d_h"}, {}})) ==
          Names{"flashtp_order1_weights", "flashtp_order1", "flashtp_order1_layer"});
    CHECK(names(lowered(problem, {1, {}, {}})) ==
          Names{"flashtp_order1_weights", "flashtp_order1", "flashtp_order1_layer", "flashtp_order1_matrix"});
    Problem ordered = problem;
    ordered.deterministic = true;
    CHECK(lower(ordered, {0, {}, {}}, cuda_target("sm_90a"), {}).kernels.size() == 1);
}

TEST_CASE("edge products: every order and hidden size, in windows that cut receivers") {
    const char* targets[] = {"sm_90a", "sm_80"};
    const auto complain = [&](std::int64_t n) {
        const Problem problem = radial_layer(layer_widths[n / 6], n % 4 == 1, n % 3 ? "32x0e+40x1o" : "7x0e+3x1o");
        const test::Experiment experiment(problem, {static_cast<int>(n % 3), {}, {}}, uneven_graphs[n / 2 % 3], static_cast<std::uint64_t>(n));
        const Target target = cuda_target(targets[n % 5 == 0]);
        const LoweringOptions options = between_kernels(experiment.request, target);
        const KernelRun split{.options = options, .rows_per_warp = 1, .threads = 1, .shares = 3, .window = 16};
        const KernelRun whole{.options = options, .rows_per_warp = 4, .threads = 1, .shares = 0, .window = n % 2 ? 9 : 0};
        return complaint_interpreted(experiment, target, n % 4 == 3 ? split : whole);
    };
    for (const std::string& text : complaints(6 * std::ssize(layer_widths), complain)) FAIL_CHECK(text);
}

TEST_CASE("edge products: gradients of weights lie where the weights were, unless the convolution reads these late") {
    const auto places = [](const Lowered& l) { return tile_places(l.kernels, l.tiles); };
    const auto named = [](const Lowered& l) {
        std::vector<std::string> all;
        for (const Operand& tile : l.tiles) all.push_back(tile.name);
        return all;
    };
    using Places = std::vector<std::size_t>;
    const Problem problem = radial_layer(24, false);
    const Lowered backward = lowered(problem, {1, {}, {}}), second = lowered(problem, {2, {}, {}});
    CHECK(named(backward) == std::vector<std::string>{"w", "d_w"});
    CHECK(places(backward) == Places{0, 0});
    CHECK(named(second).size() == 4);
    CHECK(places(second) == Places{0, 1, 0, 1});
    CHECK(places(lowered(problem, {0, {}, {}})) == Places{0});
    // Without the ring a path's weights may be loaded after its gradients are stored.
    Lowered late = backward;
    for (Kernel& kernel : late.kernels)
        for (KernelTask& task : kernel.tasks)
            if (kernel.receiver_rows)
                task.body.push_back({Load{{}, {.place = Place::global, .buffer = static_cast<int>(std::ranges::find(kernel.buffers, "w", &Buffer::name) - kernel.buffers.begin())}}});
    CHECK(places(late) == Places{0, 1});
}

TEST_CASE("edge products: every mode whose weights are rows of a matrix") {
    const auto complain = [&](std::int64_t n) {
        Problem problem = every_triple(connection_modes()[static_cast<std::size_t>(n / 3)].mode, true, 1);
        problem.radial = Radial{8, 0.5, true};
        problem.dtype = DType::float32;
        const test::Experiment experiment(problem, {static_cast<int>(n % 3), {}, {}}, {.edges = 23, .senders = 3, .receivers = 4, .sorted = false}, 9);
        const Target target = cuda_target("sm_90a");
        return complaint_interpreted(experiment, target, {.options = {}, .rows_per_warp = 2, .threads = 1, .shares = 0, .window = 7});
    };
    for (const std::string& text : complaints(3 * std::ssize(connection_modes()), complain)) FAIL_CHECK(text);
}

TEST_CASE("edge products: what a kernel with products of edges must keep to") {
    const Lowered all = lowered(radial_layer(24, true), {1, {}, {}});
    const auto complaint = [&](std::size_t number, auto change) {
        Kernel kernel = all.kernels[number];
        change(kernel.tasks.front(), std::get<EdgeProduct>(kernel.tasks.front().body.back().node));
        return internal_error_of([&] { verify(kernel); });
    };
    for (std::size_t k : {0u, 2u, 3u}) CHECK(complaint(k, [](KernelTask&, EdgeProduct&) {}) == "(no error)");
    CHECK(contains(complaint(0, [](KernelTask& t, EdgeProduct&) { t.matrices.clear(); }), "matrix 0 does not exist"));
    CHECK(contains(complaint(0, [](KernelTask& t, EdgeProduct&) { t.matrices[0].written = true; }), "loaded where it is read"));
    CHECK(contains(complaint(0, [](KernelTask& t, EdgeProduct&) { t.body.erase(t.body.begin()); }), "before its zeros are ready"));
    CHECK(contains(complaint(0, [](KernelTask&, EdgeProduct& p) { p.to = EdgeProduct::To::rows, p.bias = false; }), "is written"));
    CHECK(contains(complaint(2, [](KernelTask&, EdgeProduct& p) { p.add = true; }), "only a tile is stored"));
    CHECK(contains(complaint(2, [](KernelTask&, EdgeProduct& p) { p.rows.reset(); }), "no rows of the layer"));
    const char* parts[] = {"warp::edges_to_tile<", "warp::Share share(", "warp::edges_to_rows<", "warp::edges_to_matrix<"};
    for (std::size_t k = 0; k < 4; ++k) CHECK(contains(emit_c(all.kernels[k], cuda_dialect()), parts[k]));
    CHECK(contains(to_string(all.kernels[3]), "product of edges to matrix row_begin .. row_end: 0.25 * tile d_w, rows h"));
}
