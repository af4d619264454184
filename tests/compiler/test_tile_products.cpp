// Kernels that make tiles of weights themselves: the products they contain, their results in the interpreter, and who gets none.
#include <doctest/doctest.h>

#include "codegen/dialect.hpp"
#include "codegen/emit_c.hpp"
#include "compiler/expand_paths.hpp"
#include "tests/ir/errors.hpp"
#include "tests/support/complaints.hpp"
#include "tests/support/every_triple.hpp"
#include "tests/support/kernel_builder.hpp"
#include "tests/support/radial_layers.hpp"
#include "tests/support/run_kernel.hpp"

using namespace flashtp;
using namespace flashtp::test;

namespace {

const Request forward{0, {}, {}}, gradients{1, {"d_x", "d_y", "d_h"}, {}};

/// Weights that warps make.
LoweringOptions within_warps(const Request& request) {
    ScheduleKnobs knobs = default_knobs(cuda_target("sm_90a"), request, DType::float32);
    knobs.tile_edges = 16;
    return {.schedule = {}, .factoring = {}, .knobs = knobs, .general = false, .tuned = {}};
}

std::size_t matrices_of(const Problem& problem, const Request& request, const Target& target,
                        const LoweringOptions& options = {}) {
    std::size_t count = 0;
    for (const Kernel& kernel : lower(problem, request, target, options).kernels)
        for (const KernelTask& task : kernel.tasks) count += task.matrices.size();
    return count;
}

}  // namespace

TEST_CASE("tile products: kernels on GPUs make float32 weights of convolutions in tiles") {
    const Problem problem = radial_layer(24, true);
    for (const char* name : {"sm_80", "sm_90a", "sm_100"}) {
        CHECK(matrices_of(problem, forward, cuda_target(name)) > 0);
        CHECK(matrices_of(problem, gradients, cuda_target(name)) > 0);
    }
    CHECK(matrices_of(problem, forward, cpu_target("x86-64-v3")) == 0);
    CHECK(matrices_of(problem, forward, cuda_target("sm_90a"), {.schedule = {}, .factoring = {}, .knobs = {}, .general = true}) ==
          0);
    Problem other = problem;
    other.dtype = DType::float64;
    CHECK(matrices_of(other, forward, cuda_target("sm_90a")) == 0);
    other = problem;
    other.convolution = false;
    CHECK(matrices_of(other, forward, cuda_target("sm_90a")) == 0);
}

TEST_CASE("tile products: stages of a ring hold no more edges than a tile") {
    const Problem narrow = radial_layer(8, false, "4x0e");
    for (const int stages : {2, 3, 4, 16}) {
        LoweringOptions options = within_warps(forward);
        options.knobs->stages = stages;
        CHECK_MESSAGE(matrices_of(narrow, forward, cuda_target("sm_80"), options) > 0, stages);
    }
}

TEST_CASE("tile products: every hidden size, with receivers that share tiles and tiles that share receivers") {
    const char* targets[] = {"sm_90a", "sm_80"};
    const auto complain = [&](std::int64_t n) {
        const Problem problem = radial_layer(layer_widths[n / 6], n % 4 == 1);
        const Experiment experiment(problem, forward, uneven_graphs[n / 2 % 3], static_cast<std::uint64_t>(n));
        const LoweringOptions options = within_warps(experiment.request);
        const KernelRun split{.options = options, .rows_per_warp = 1, .threads = 1, .shares = 3, .window = 0};
        const KernelRun whole{.options = options, .rows_per_warp = 4};
        return complaint_interpreted(experiment, cuda_target(targets[n % 5 == 0]), n % 3 == 2 ? split : whole);
    };
    for (const std::string& text : complaints(6 * std::ssize(layer_widths), complain)) FAIL_CHECK(text);
}

TEST_CASE("tile products: warps make what is for them alone") {
    const Problem problem = radial_layer(20, false);
    CHECK(matrices_of(problem, forward, cuda_target("sm_90a"), within_warps(forward)) > 0);
    CHECK(matrices_of(problem, gradients, cuda_target("sm_90a"), within_warps(gradients)) == 0);
    // A tangent of the weights comes with the weights.
    CHECK(matrices_of(problem, {2, {"t_z"}, {}}, cuda_target("sm_90a"), within_warps({2, {"t_z"}, {}})) == 0);
}

TEST_CASE("tile products: what a kernel with products must keep to") {
    const Kernel whole = lower(radial_layer(24, true), forward, cuda_target("sm_90a"), within_warps(forward)).kernels.front();
    const auto complaint = [&](auto change) {
        Kernel kernel = whole;
        change(kernel, kernel.tasks.front().matrices.front());
        return internal_error_of([&] { verify(kernel); });
    };
    CHECK(complaint([](Kernel&, BlockMatrix&) {}) == "(no error)");
    CHECK(contains(complaint([](Kernel& k, BlockMatrix&) { k.target.compute_capability = 75; }), "need tensor cores"));
    CHECK(contains(complaint([](Kernel&, BlockMatrix& m) { m.first[0] = m.pitch; }), "columns"));
    CHECK(contains(complaint([](Kernel&, BlockMatrix& m) { m.rows += 1; }), "is smaller than"));
    CHECK(contains(complaint([](Kernel&, BlockMatrix& m) { m.first.resize(3 * m.first.size()); }),
                   "rows of a tile hold whole fragments"));
    CHECK(contains(complaint([](Kernel& k, BlockMatrix&) { k.tasks.front().matrices.clear(); }), "matrix 0 does not exist"));
    CHECK(shared_bytes(whole) > matrix_bytes(whole));

    const std::string text = to_string(whole), code = emit_c(whole, cuda_dialect());
    for (const char* part : {"matrix W2 = W2, 24 rows by", "product shared tile_w[0]", "* W2 + bias"})
        CHECK(contains(text, part));
    for (const char* part : {"warp::load_matrix<", "warp::multiply<", "__syncthreads();"}) CHECK(contains(code, part));
}

TEST_CASE("tile products: numbers far from one keep the accuracy of float32") {
    const Problem problem = radial_layer(64, false, "32x0e");
    for (const auto& [h, w2] : {std::pair{1e-4, 1e4}, {1e4, 1e-4}, {1e30, 1e-30}, {1e-25, 1e3}}) {
        Experiment experiment(problem, forward, {.edges = 40, .senders = 7, .receivers = 5, .sorted = true}, 3);
        for (double& v : experiment.inputs.at("h")) v = static_cast<float>(v * h);
        for (double& v : experiment.inputs.at("W2")) v = static_cast<float>(v * w2);
        const PathProgram paths = expand_paths(problem);
        experiment.expected = evaluate(paths, experiment.graph, experiment.inputs);
        CHECK(complaint_interpreted(experiment, cuda_target("sm_90a")) == "");
    }
}
