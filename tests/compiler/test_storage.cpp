// Weights and harmonics of two bytes: kernels against the oracle on the same rounded inputs, and what the errors against inputs of full
// precision are.
#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include "compiler/pipeline.hpp"
#include "ir/error.hpp"
#include "runtime/engine.hpp"
#include "runtime/self_check.hpp"
#include "tests/runtime/memory_only.hpp"

using namespace flashtp;

namespace {

/// Harmonics and weights of these types; `spec` has a %s for the other keys.
Problem stored_problem(const std::string& spec, const std::string& in2, const std::string& weights) {
    return parse_problem(fmt::format(R"({{{}, "dtype_in2": "{}", "dtype_weights": "{}"}})", spec, in2, weights));
}

/// Even and odd widths, whole and ragged chunks, weights with one and with several axes, shared weights, both layouts, plain batches.
const std::vector<std::string> stored_specs = {
    R"("irreps_in1": "32x0e+32x1o", "irreps_in2": "0e+1o", "irreps_out": "32x0e+32x1o",
       "instructions": [[0, 0, 0, "uvu", true], [0, 1, 1, "uvu", true], [1, 1, 0, "uvu", true]])",
    R"("irreps_in1": "64x0e+33x1o", "irreps_in2": "0e+1o+2e", "irreps_out": "64x0e+33x1o",
       "instructions": [[0, 0, 0, "uvu", true], [0, 0, 0, "uvu", true], [1, 1, 0, "uvw", true], [1, 2, 1, "uvu", true]])",
    R"("irreps_in1": "7x0e+5x1o", "irreps_in2": "2x0e+3x1o", "irreps_out": "7x1o+10x1o+4x1e",
       "instructions": [[0, 1, 0, "uvu", true], [1, 0, 1, "uvuv", false], [1, 1, 2, "uvw", true]], "layout_in2": "ir_mul")",
    R"("irreps_in1": "32x0e+32x1o", "irreps_in2": "0e+1o", "irreps_out": "32x0e+32x1o", "shared_weights": true,
       "instructions": [[0, 0, 0, "uvu", true], [1, 1, 0, "uvu", true]])",
    R"("irreps_in1": "32x0e+32x1o", "irreps_in2": "32x0e+32x1o", "irreps_out": "32x0e+32x1o", "convolution": false,
       "instructions": [[0, 0, 0, "uuu", true], [0, 1, 1, "uuu", true], [1, 1, 0, "uuu", true]])",
};

void check_outputs_of_storage(const Problem& problem, const Request& request, const Sample& sample, const Tensors& found) {
    for (const OutputCheck& check : compare(expect(problem, request, sample), found, epsilon(problem.dtype))) {
        INFO(fmt::format("{}[{}][{}] is {}, expected {}", check.output, check.row, check.column, check.found, check.expected));
        CHECK(check.ok());
    }
}

/// All types of harmonics and weights that differ from the default, for every specification.
template <class Run>
void for_each_storage(Run run) {
    for (const std::string& spec : stored_specs) {
        for (const auto& [in2, weights] : {std::pair("float32", "bfloat16"), std::pair("bfloat16", "float32"), std::pair("float16", "float16")}) {
            CAPTURE(spec);
            CAPTURE(in2);
            CAPTURE(weights);
            const Problem problem = stored_problem(spec, in2, weights);
            for (const int order : {0, 1, 2}) {
                CAPTURE(order);
                const Request request{order, {}, {}};
                run(problem, request, random_sample(problem, operands_of(problem, request), {.edges = 45, .nodes = 7}));
            }
        }
    }
}

DType dtype_of(const std::vector<Operand>& operands, const std::string& name) {
    return std::ranges::find(operands, name, &Operand::name)->storage.value_or(DType::float32);
}

}  // namespace

TEST_CASE("storage: numbers of two bytes are the nearest ones") {
    CHECK(rounded_to(DType::bfloat16, 1 + 0x1p-8) == 1);
    CHECK(rounded_to(DType::bfloat16, 1 + 3 * 0x1p-8) == 1 + 0x1p-6);
    CHECK(rounded_to(DType::float16, 1 + 0x1p-11) == 1);
    CHECK(rounded_to(DType::float16, -(1 + 3 * 0x1p-11)) == -(1 + 0x1p-9));
    CHECK(rounded_to(DType::float16, 65519) == 65504);
    CHECK(std::isinf(rounded_to(DType::float16, 65520)));
    CHECK(rounded_to(DType::float16, 0x1.8p-25) == 0x1p-24);
    CHECK(rounded_to(DType::float16, 0x1p-25) == 0);
    for (const DType dtype : {DType::bfloat16, DType::float16}) {
        CHECK(std::isnan(rounded_to(dtype, std::nan(""))));
        for (int bits = 0; bits < 0x10000; ++bits) {
            const float value = from_storage(static_cast<std::uint16_t>(bits), dtype);
            if (!std::isnan(value)) CHECK(to_storage(value, dtype) == bits);
        }
    }
}

TEST_CASE("storage: gradients in weights of an edge are stored like the weights, sums in float32") {
    const auto operands = [](const std::string& spec, int order) {
        return operands_of(stored_problem(spec, "bfloat16", "float16"), {order, {}, {}});
    };
    for (const char* name : {"w", "t_w", "t_d_w"}) CHECK(dtype_of(operands(stored_specs[0], 2), name) == DType::float16);
    CHECK(dtype_of(operands(stored_specs[0], 1), "d_w") == DType::float16);
    CHECK(dtype_of(operands(stored_specs[0], 2), "y") == DType::bfloat16);
    for (const char* name : {"x", "t_y", "t_d_y", "d_z"}) CHECK(dtype_of(operands(stored_specs[0], 2), name) == DType::float32);
    CHECK(dtype_of(operands(stored_specs[3], 1), "d_w") == DType::float32);
}

TEST_CASE("storage: kernels of GPUs in the interpreter") {
    for (const char* target : {"sm_80", "sm_90a"}) {
        for_each_storage([&](const Problem& problem, const Request& request, const Sample& sample) {
            const Lowered lowered = lower(problem, request, cuda_target(target), {});
            check_outputs_of_storage(problem, request, sample, run_interpreted(lowered, problem.dtype, sample));
        });
    }
}

TEST_CASE("storage: kernels of this CPU") {
    Engine engine(test::memory_only());
    const Target target = engine.target("cpu");
    for_each_storage([&](const Problem& problem, const Request& request, const Sample& sample) {
        const auto program = engine.compile(problem, request, target);
        check_outputs_of_storage(problem, request, sample, run_on_cpu(*program, sample, 2));
    });
}

TEST_CASE("storage: the rules") {
    const std::string& spec = stored_specs[0];
    const auto with = [&](const std::string& keys) { return parse_problem("{" + spec + ", " + keys + "}"); };
    CHECK(with(R"("dtype_weights": null)") == with(R"("dtype": "float32")"));
    const Problem stored = with(R"("dtype_weights": "bfloat16", "dtype_in2": "float16")");
    CHECK(parse_problem(to_json(stored)) == stored);
    CHECK_THROWS_WITH_AS(with(R"("dtype_weights": "bf16")"),
                         "dtype_weights: must be one of float32, float64, bfloat16, float16, not \"bf16\"; did you mean \"bfloat16\"?", UserError);
    CHECK_THROWS_WITH_AS(with(R"("dtype": "float64", "dtype_in2": "float16")"),
                         "dtype_in2: float16 beside dtype float64; bfloat16 and float16 go with float32", UserError);
    CHECK_THROWS_WITH_AS(with(R"("dtype_weights": "bfloat16", "radial": {"hidden": 8})"),
                         "dtype_weights: with radial there are no weights in memory", UserError);
    CHECK_THROWS_AS(with(R"("dtype": "bfloat16")"), UserError);
    CHECK_THROWS_WITH_AS(lower(with(R"("dtype_weights": "float16")"), {}, cpu_target("cpu:x86-64-v2"), {}),
                         "dtype_weights: cpu:x86-64-v2 cannot convert float16 (F16C); bfloat16 works everywhere", UserError);
}
