// Produced weights: the algebra against the oracle, the oracle against differences and against weights that were made before.
#include <algorithm>
#include <random>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include "compiler/derivative.hpp"
#include "compiler/expand_paths.hpp"
#include "compiler/factor.hpp"
#include "ir/connection_modes.hpp"
#include "tests/support/complaints.hpp"
#include "tests/support/cpu_kernel.hpp"
#include "tests/support/deviation.hpp"
#include "tests/support/every_triple.hpp"
#include "tests/support/run_kernel.hpp"

using namespace flashtp;
using namespace flashtp::test;

namespace {

constexpr std::int64_t hidden_sizes[] = {1, 8, 33, 64};
const GraphOptions few_edges{.edges = 5, .senders = 3, .receivers = 4, .sorted = false};

/// Every mode with each hidden size, with and without bias, as a convolution and as a batch.
std::vector<Problem> radial_problems(DType dtype = DType::float64) {
    std::vector<Problem> problems;
    for (const ConnectionModeRow& row : connection_modes())
        for (const std::int64_t hidden : hidden_sizes) {
            Problem problem = every_triple(row.mode, true, 1);
            problem.radial = Radial{hidden, 0.25, problems.size() % 3 == 0};
            problem.convolution = problems.size() % 4 != 1;
            problem.dtype = dtype;
            problems.push_back(problem);
        }
    return problems;
}

/// Tensors for every input of the orders up to 2, and all of their outputs by the oracle.
struct Evaluated {
    Graph graph;
    Tensors tensors;
    std::map<std::string, OracleTensor> outputs;

    explicit Evaluated(const Problem& problem, const GraphOptions& options = few_edges) {
        std::mt19937_64 rng(3);
        graph = random_graph(rng, problem, options);
        const PathProgram forward = expand_paths(problem);
        for (int order = 0; order <= 2; ++order)
            tensors.merge(random_tensors(derivative(forward, {order, {}, {}}).operands, graph, rng, DType::float64));
        for (int order = 0; order <= 2; ++order) outputs.merge(evaluate(derivative(forward, {order, {}, {}}), graph, tensors));
    }
};

/// Products of matrices [rows][columns], row-major.
struct Matrix {
    std::int64_t rows, columns;
    std::vector<double> data;

    double at(std::int64_t row, std::int64_t column) const { return data[static_cast<std::size_t>(row * columns + column)]; }
    Matrix transposed() const {
        Matrix result{columns, rows, {}};
        for (std::int64_t c = 0; c < columns; ++c)
            for (std::int64_t r = 0; r < rows; ++r) result.data.push_back(at(r, c));
        return result;
    }
};

Matrix operator*(const Matrix& a, const Matrix& b) {
    Matrix result{a.rows, b.columns, {}};
    for (std::int64_t r = 0; r < a.rows; ++r)
        for (std::int64_t c = 0; c < b.columns; ++c) {
            double sum = 0;
            for (std::int64_t k = 0; k < a.columns; ++k) sum += a.at(r, k) * b.at(k, c);
            result.data.push_back(sum);
        }
    return result;
}

std::vector<double> combined(double scale, const Matrix& a, const Matrix* b = nullptr) {
    std::vector<double> sum = a.data;
    for (std::size_t n = 0; n < sum.size(); ++n) sum[n] = scale * (sum[n] + (b ? b->data[n] : 0));
    return sum;
}

std::vector<double> values(const std::map<std::string, OracleTensor>& outputs, const std::string& name) {
    return outputs.at(name).value;
}

/// What the program without a radial layer gives, with w and its tangent made beforehand and its gradients taken apart afterwards.
Tensors by_explicit_weights(const Problem& problem, const Evaluated& e) {
    const double scale = problem.radial->scale;
    const std::int64_t edges = e.graph.edges, hidden = problem.radial->hidden, weights = weight_numel(problem);
    const auto layer = [&](const char* name) { return Matrix{edges, hidden, e.tensors.at(name)}; };
    const auto matrix = [&](const char* name) { return Matrix{hidden, weights, e.tensors.at(name)}; };
    const Matrix h = layer("h"), t_h = layer("t_h"), w2 = matrix("W2"), t_w2 = matrix("t_W2");
    Tensors tensors = e.tensors;
    const Matrix h_t_w2 = h * t_w2;
    tensors["w"] = combined(scale, h * w2);
    tensors["t_w"] = combined(scale, t_h * w2, &h_t_w2);

    Problem plain = problem;
    plain.radial.reset();
    std::map<std::string, OracleTensor> found;
    for (int order = 0; order <= 2; ++order)
        found.merge(evaluate(derivative(expand_paths(plain), {order, {}, {}}), e.graph, tensors));
    const Matrix d_w{edges, weights, values(found, "d_w")}, t_d_w{edges, weights, values(found, "t_d_w")};
    const Matrix h_part = d_w * t_w2.transposed(), w2_part = t_h.transposed() * d_w;
    Tensors result;
    for (const char* same : {"z", "d_x", "d_y", "t_z", "t_d_x", "t_d_y"}) result[same] = values(found, same);
    result["d_h"] = combined(scale, d_w * w2.transposed());
    result["d_W2"] = combined(scale, h.transposed() * d_w);
    result["t_d_h"] = combined(scale, t_d_w * w2.transposed(), &h_part);
    result["t_d_W2"] = combined(scale, h.transposed() * t_d_w, &w2_part);
    return result;
}

double dot(const std::vector<double>& a, const std::vector<double>& b) {
    double sum = 0;
    for (std::size_t n = 0; n < a.size(); ++n) sum += a[n] * b[n];
    return sum;
}

/// <d_z, z> where the named input is moved along a direction.
double moved(const PathProgram& forward, const Evaluated& e, const std::string& name, const std::vector<double>& direction, double by) {
    Tensors tensors = e.tensors;
    for (std::size_t n = 0; n < direction.size(); ++n) tensors[name][n] += by * direction[n];
    return dot(values(evaluate(forward, e.graph, tensors), "z"), e.tensors.at("d_z"));
}

}  // namespace

TEST_CASE("radial: making a weight counts a multiply-add a hidden channel") {
    for (const std::int64_t hidden : {8, 33, 64}) {
        Problem problem = uvu_layer("64x0e+80x1o", "1x0e+1x1o");
        const auto operations = [&] { return count_operations(factor(expand_paths(problem), Factoring::products)).channel; };
        const std::int64_t stored = operations();
        problem.radial = Radial{hidden, 0.25, false};
        const std::int64_t scaled = static_cast<std::int64_t>(problem.instructions.size()) * std::min<std::int64_t>(hidden, 64);
        CHECK(operations() == stored + weight_numel(problem) * hidden + scaled);
    }
}

TEST_CASE("radial: every factoring agrees with the oracle at every order") {
    for (const Problem& problem : radial_problems()) {
        const PathProgram paths = expand_paths(problem);
        std::mt19937_64 rng(5);
        const Graph graph = random_graph(rng, problem, few_edges);
        for (int order = 0; order <= 3; ++order) {
            const PathProgram reference = derivative(paths, {order, {}, {}});
            const Tensors tensors = random_tensors(reference.operands, graph, rng, DType::float64);
            const auto expected = evaluate(reference, graph, tensors);
            for (const Factoring factoring : {Factoring::products, Factoring::coefficients, Factoring::weights_first}) {
                const EdgeProgram program = derivative(factor(paths, factoring), {order, {}, {}});
                verify(program);
                const Deviation worst = deviation(expected, evaluate(program, graph, tensors), epsilon(DType::float64));
                CHECK_MESSAGE(worst.ratio <= 1, worst.ratio, " times the bound at ", worst.where, " of ", to_json(problem));
            }
        }
    }
}

TEST_CASE("radial: the oracle's gradients are differences of its values") {
    for (const Problem& problem : radial_problems()) {
        const Evaluated e(problem);
        const PathProgram forward = expand_paths(problem);
        for (const std::string name : {"x", "y", "h", "W2", "b"}) {
            if (forward.find(name) < 0) continue;
            std::mt19937_64 rng(8);
            std::vector<double> direction(e.tensors.at(name).size());
            for (double& value : direction) value = draw_value(rng);
            // Linear in each input alone, so a difference of any length is exact.
            const double slope = moved(forward, e, name, direction, 0.5) - moved(forward, e, name, direction, -0.5);
            CHECK(dot(values(e.outputs, "d_" + name), direction) == doctest::Approx(slope).epsilon(1e-9));
        }
    }
}

TEST_CASE("radial: the same as weights that are made before, in every order") {
    for (Problem problem : radial_problems()) {
        problem.radial->bias = false;
        const Evaluated e(problem);
        const Deviation worst = deviation(e.outputs, by_explicit_weights(problem, e), epsilon(DType::float64));
        CHECK_MESSAGE(worst.ratio <= 1, worst.ratio, " times the bound at ", worst.where, " of ", to_json(problem));
    }
}

TEST_CASE("radial: kernels of every mode and hidden size agree with the oracle, interpreted") {
    const std::vector<Problem> problems = radial_problems(DType::float32);
    std::vector<Target> targets = cuda_targets();
    targets.push_back(cpu_target("x86-64-v3"));  // weights in tiles
    const auto complain = [&](std::int64_t n) {
        const Experiment experiment(problems[static_cast<std::size_t>(n / 3)], {static_cast<int>(n % 3), {}, {}}, few_edges, 9);
        return complaint_interpreted(experiment, targets[static_cast<std::size_t>(n) % targets.size()],
                                     {.options = {}, .rows_per_warp = 2, .threads = 1});
    };
    for (const std::string& text : complaints(3 * std::ssize(problems), complain)) FAIL_CHECK(text);
}

namespace {

/// Problems of every mode on this machine's cores, with 1 and 3 threads.
void check_on_cpu(DType dtype, bool deterministic, const LoweringOptions& options, const GraphOptions& graph) {
    if (!have_llvm_backend()) return;
    Engine engine(memory_only());
    std::vector<Problem> problems = radial_problems(dtype);
    for (Problem& problem : problems) problem.deterministic = deterministic;
    const auto complain = [&](std::int64_t n) -> std::string {
        const Experiment experiment(problems[static_cast<std::size_t>(n / 3)], {static_cast<int>(n % 3), {}, {}}, graph, 9);
        for (const int threads : {1, 3}) {
            const std::string text = complaint_on_cpu(engine, experiment, {.options = options, .rows_per_warp = 0, .threads = threads});
            if (!text.empty()) return text;
        }
        return {};
    };
    for (const std::string& text : complaints(3 * std::ssize(problems), complain)) FAIL_CHECK(text);
}

}  // namespace

TEST_CASE("radial: kernels with tiles agree with the oracle on the CPU") {
    // Receivers with fewer and with more edges than a tile has.
    check_on_cpu(DType::float32, false, {}, few_edges);
    check_on_cpu(DType::float64, true, {}, {.edges = 23, .senders = 3, .receivers = 2, .sorted = true});
}

TEST_CASE("radial: kernels that make weights where they are used agree with the oracle on the CPU") {
    check_on_cpu(DType::float32, false, {.schedule = {}, .factoring = {}, .knobs = {}, .general = true}, few_edges);
}

TEST_CASE("radial: requests for some of the outputs") {
    if (!have_llvm_backend()) return;
    Engine engine(memory_only());
    Problem problem = every_triple(ConnectionMode::uvu, true, 1);
    problem.radial = Radial{8, 0.5, true};
    for (const int order : {1, 2})
        for (const std::string& output : outputs_of_order(order, {"x", "y", "h", "W2", "b"}))
            for (const std::vector<std::string>& absent : {std::vector<std::string>{}, {"t_x", "t_W2"}, {"t_h", "t_W2", "t_b"}}) {
                if (order == 1 && !absent.empty()) continue;
                const Experiment experiment(problem, {order, {output}, absent}, few_edges, 4);
                CHECK(complaint_on_cpu(engine, experiment) == "");
                CHECK(complaint_interpreted(experiment, cuda_targets()[0]) == "");
            }
}
