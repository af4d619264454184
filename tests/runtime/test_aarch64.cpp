// Code for another architecture, linked with a cross compiler and run in an emulator.
#include <cstdlib>
#include <cstring>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include "runtime/arguments.hpp"
#include "runtime/edges.hpp"
#include "runtime/engine.hpp"
#include "runtime/self_check.hpp"
#include "tests/runtime/memory_only.hpp"
#include "tests/runtime/temporary_directory.hpp"
#include "tests/support/cpu_kernel.hpp"
#include "tests/support/mode_problem.hpp"

using namespace flashtp;
using namespace flashtp::test;

namespace {

constexpr const char* compiler = "aarch64-linux-gnu-gcc";
constexpr const char* emulator = "qemu-aarch64";

bool runs(const std::string& command) { return std::system((command + " >/dev/null 2>&1").c_str()) == 0; }

bool can_emulate() {
    static const bool both = runs(fmt::format("{} --version", compiler)) && runs(fmt::format("{} --version", emulator));
    if (!both) MESSAGE("SKIPPED: " << compiler << " or " << emulator << " is not installed (tools/install-deps --aarch64)");
    return both && have_llvm_backend();
}

using Bytes = std::vector<std::byte>;

void put(std::string& file, std::int64_t number) { file.append(reinterpret_cast<const char*>(&number), sizeof number); }

/// One kernel in the emulator, on the arguments in `memory`; a null argument is empty.
void emulate(const std::string& name, const Artifact& artifact, std::int64_t rows, std::vector<std::span<std::byte>>& memory) {
    const TemporaryDirectory directory;
    const std::string base = directory.path().string();
    write_text(directory.path() / "kernel.o", {artifact.code.begin(), artifact.code.end()});
    std::string file;
    put(file, rows);
    put(file, static_cast<std::int64_t>(memory.size()));
    for (const auto& bytes : memory) {
        put(file, bytes.empty() ? -1 : static_cast<std::int64_t>(bytes.size()));
        file.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    }
    write_text(directory.path() / "memory", file);
    REQUIRE(runs(fmt::format("{0} -static -O1 -DKERNEL={1} -o {2}/driver {3}/tests/runtime/aarch64_driver.c {2}/kernel.o", compiler,
                             name, base, FLASHTP_SOURCE_DIR)));
    REQUIRE(runs(fmt::format("{0} {1}/driver {1}/memory", emulator, base)));
    const std::string result = read_text(directory.path() / "memory");
    std::size_t at = 0;
    for (auto& bytes : memory) {
        REQUIRE(at + bytes.size() <= result.size());
        std::memcpy(bytes.data(), result.data() + at, bytes.size());
        at += bytes.size();
    }
}

std::span<std::byte> bytes_of(std::vector<std::int32_t>& indices) { return std::as_writable_bytes(std::span(indices)); }

Tensors run_emulated(const Program& program, const Sample& sample) {
    HostOperands operands(program.operands(), sample);
    std::vector<std::span<std::byte>> memory = operands.memory();
    const LaunchPlan& plan = program.plan();
    std::vector<std::vector<std::byte>> tiles;  // one for all edges
    for (const ProgramOperand& tile : plan.tiles)
        tiles.emplace_back(static_cast<std::size_t>(sample.graph.edges * tile.width) * size_of(tile.dtype));
    for (std::vector<std::byte>& tile : tiles) memory.push_back(tile);
    for (const OutputRule& rule : plan.outputs)
        if (rule.zeroed) std::ranges::fill(memory[static_cast<std::size_t>(rule.operand)], std::byte{0});
    ReceiverIndex index = receiver_index(sample.graph);
    const std::vector<std::span<std::byte>> arrays = {bytes_of(index.row_ptr), bytes_of(index.sender), bytes_of(index.edge)};
    for (std::size_t k = 0; k < program.kernels().size(); ++k) {
        const KernelFacts& kernel = plan.kernels[k];
        std::vector<std::span<std::byte>> arguments;
        std::size_t array = 0;
        for (const int source : plan.arguments[k].sources())
            arguments.push_back(source >= 0 ? memory[static_cast<std::size_t>(source)] : arrays.at(array++));
        const std::int64_t rows = kernel.receiver_rows ? sample.graph.receivers : sample.graph.edges;
        emulate(kernel.name, *program.kernels()[k].artifact, rows, arguments);
    }
    return operands.outputs();
}

void check_emulated(const Problem& problem, int order) {
    CAPTURE(problem.name);
    CAPTURE(order);
    Engine engine(memory_only());
    const auto program = engine.compile(problem, {order, {}, {}}, engine.target("cpu:aarch64+neon"));
    const Sample sample = random_sample(problem, operands_of(problem, program->request()), {.edges = 23, .nodes = 5, .seed = 4});
    for (const OutputCheck& check :
         compare(expect(problem, program->request(), sample), run_emulated(*program, sample), epsilon(problem.dtype))) {
        CAPTURE(check.output);
        CHECK(check.ok());
    }
}

const char* const mixed_layer = R"({"name": "layer", "irreps_in1": "12x0e+9x1o+4x2e", "irreps_in2": "0e+1o+2e",
    "irreps_out": "12x0e+9x1o+4x2e", "instructions": [[0, 0, 0, "uvu", true], [1, 1, 0, "uvw", true], [1, 0, 1, "uvu", true],
    [1, 2, 1, "uvu", true], [2, 2, 2, "uvu", true]]})";

}  // namespace

TEST_CASE("aarch64: a layer and its gradients in an emulator") {
    if (!can_emulate()) return;
    check_emulated(parse_problem(mixed_layer), 0);
    check_emulated(parse_problem(mixed_layer), 1);
}

TEST_SUITE("slow aarch64") {
    TEST_CASE("aarch64: every mode, float64, and double backward") {
        if (!can_emulate()) return;
        for (const ModeProblem& mode : all_mode_problems(1))
            if (mode.convolution != mode.shared_weights && mode.weighted) check_emulated(mode_problem(mode), 1);
        check_emulated(parse_problem(mixed_layer), 2);
    }
}
