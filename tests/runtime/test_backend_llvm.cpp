// The plug-in behind the CPU back end: targets, compilation, linking, and many kernels at once.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <string>
#include <thread>

#include "ir/error.hpp"
#include "runtime/backend_llvm.hpp"
#include "tests/support/cpu_kernel.hpp"

using namespace flashtp;
using namespace flashtp::test;

namespace {

/// o[row] = scale * x[row] for rows of 3 components and a vector of lanes.
Kernel scaling_kernel(double scale, const Target& target, DType dtype = DType::float32) {
    CpuKernelBuilder b(dtype, lanes_of(target, size_of(dtype)));
    b.kernel.target = target;
    const BufferId x = b.operand("x"), o = b.operand("o");
    Block& body = b.task().body;
    const int lanes = b.kernel.lanes;
    const IntId row = b.integer("row");
    const std::vector<RegId> r = b.regs(3);
    For rows{row, Affine::of(int_row_begin), Affine::of(int_row_end), 1, {}};
    rows.body.push_back({Load{r, global(x, Affine::of(row, 3 * lanes), 3, 1, lanes)}});
    for (const RegId each : r) rows.body.push_back({Fma{each, each, scale, 0.0}});
    rows.body.push_back({Store{global(o, Affine::of(row, 3 * lanes), 3, 1, lanes), r, StoreMode::store}});
    body.push_back({rows});
    return b.kernel;
}

int mappings_of_this_process() {
    std::ifstream maps("/proc/self/maps");
    std::string line;
    int count = 0;
    while (std::getline(maps, line)) ++count;
    return count;
}

void check_scaling(const Module& module, double scale) {
    const std::vector<float> x = whole_numbers<float>(3 * 16 * 4);
    std::vector<float> o(x.size());
    LaunchArguments arguments;
    arguments.buffers = {const_cast<float*>(x.data()), o.data()};
    module.launch(arguments, 0, 2);
    const auto written = static_cast<std::size_t>(3 * host_cpu_target().lanes * 2);
    for (std::size_t i = 0; i < o.size(); ++i) {
        if (o[i] != (i < written ? static_cast<float>(scale) * x[i] : 0)) FAIL("element " << i << " for scale " << scale);
    }
}

/// The machine an ELF object is for.
int elf_machine(const std::vector<std::uint8_t>& object) { return object.size() > 20 ? object[18] + 256 * object[19] : 0; }

}  // namespace

TEST_CASE("llvm backend: the host is described by its features") {
    if (!have_llvm_backend()) return;
    const Target host = host_cpu_target();
    CHECK(host.name == "cpu");
    CHECK(host.platform == Platform::cpu);
    CHECK(!host.triple.empty());
    CHECK(!host.cpu.empty());
    CHECK(host.lanes == host.vector_bits / 32);
    CHECK(host.registers_per_lane >= 16);
    CHECK(std::ranges::is_sorted(host.features, {}, [](const std::string& name) { return name.substr(1); }));
    CHECK(host == host_cpu_target());
    CHECK(make_llvm_backend()->identity(host).find("LLVM 19.1") != std::string::npos);
}

TEST_CASE("llvm backend: same kernel, same bytes") {
    if (!have_llvm_backend()) return;
    const std::unique_ptr<Backend> backend = make_llvm_backend();
    const Kernel kernel = scaling_kernel(2, host_cpu_target());
    const std::string source = backend->source(kernel);
    const Artifact first = backend->compile(kernel, source), second = backend->compile(kernel, source);
    CHECK(first.code == second.code);
    CHECK(first.kernel_name == kernel.name);
    CHECK(first.target == "cpu");
    CHECK(first.log.empty());
    CHECK(first.seconds > 0);
}

TEST_CASE("llvm backend: code for other processors, which this one refuses to load") {
    if (!have_llvm_backend()) return;
    const std::unique_ptr<Backend> backend = make_llvm_backend();
    const bool x86 = host_cpu_target().triple.starts_with("x86_64");
    for (const char* name : {"x86-64-v2", "x86-64-v3", "x86-64-v4", "aarch64+neon"}) {
        for (const DType dtype : {DType::float32, DType::float64}) {
            CAPTURE(name);
            const Kernel kernel = scaling_kernel(2, cpu_target(name), dtype);
            const Artifact artifact = backend->compile(kernel, backend->source(kernel));
            const bool foreign = x86 == std::string_view(name).starts_with("aarch64");
            CHECK(elf_machine(artifact.code) == (foreign == x86 ? 183 : 62));
            if (foreign) CHECK_THROWS_AS(backend->load(facts_of(kernel), artifact), CompileError);
        }
    }
}

TEST_CASE("llvm backend: loops hold the instructions that were meant") {
    if (!have_llvm_backend()) return;
    const auto assembly = [](const char* target) {
        const Kernel kernel = scaling_kernel(2, cpu_target(target));
        return llvm_assembly(kernel, make_llvm_backend()->source(kernel));
    };
    const auto has = [](const std::string& text, const char* word) { return text.find(word) != std::string::npos; };
    // Three blends or permutations a component, and no element on its own.
    const std::string avx2 = assembly("x86-64-v3");
    CHECK(has(avx2, "vblendps"));
    CHECK(has(avx2, "ymm"));
    CHECK(!has(avx2, "vinsertps"));
    CHECK(!has(avx2, "vmovss"));
    const std::string avx512 = assembly("x86-64-v4");
    CHECK(has(avx512, "zmm"));
    CHECK(!has(avx512, "vmovss"));
    CHECK(has(assembly("aarch64+neon"), ".4s"));
    CHECK(!has(assembly("x86-64-v2"), "fmaf"));  // no library call where the instruction is missing
}

TEST_CASE("llvm backend: broken text and broken objects are errors, with LLVM's words") {
    if (!have_llvm_backend()) return;
    const std::unique_ptr<Backend> backend = make_llvm_backend();
    const Kernel kernel = scaling_kernel(2, host_cpu_target());
    try {
        backend->compile(kernel, "define void @f( {");
        FAIL("compiled nonsense");
    } catch (const CompileError& error) {
        CHECK(std::string(error.what()).find("test_kernel") != std::string::npos);
        CHECK(std::string(error.what()).find("expected") != std::string::npos);
    }
    CHECK_THROWS_AS(backend->compile(kernel, "define i32 @f() {\n  %x = add i32 %x, 1\n  ret i32 %x\n}\n"), CompileError);

    Kernel unknown = kernel;
    unknown.target.triple = "vax-unknown-netbsd";
    CHECK_THROWS_AS(backend->compile(unknown, ""), CompileError);

    Artifact artifact = backend->compile(kernel, backend->source(kernel));
    Kernel other = kernel;
    other.name = "another_name";
    CHECK_THROWS_AS(backend->load(facts_of(other), artifact), CompileError);
    for (const std::size_t size : {std::size_t{0}, std::size_t{3}, std::size_t{64}, artifact.code.size() / 2}) {
        Artifact cut = artifact;
        cut.code.resize(size);
        CHECK_THROWS_AS(backend->load(facts_of(kernel), cut), CompileError);
    }
    check_scaling(*backend->load(facts_of(kernel), artifact), 2);  // nothing of this harms the others
}

TEST_CASE("llvm backend: many threads compile, load, run and unload") {
    if (!have_llvm_backend()) return;
    const Target host = host_cpu_target();
    std::vector<std::thread> threads;
    for (int thread = 0; thread < 4; ++thread) {
        threads.emplace_back([&, thread] {
            const std::unique_ptr<Backend> backend = make_llvm_backend();
            for (int i = 0; i < 6; ++i) {
                const double scale = 1 + thread + 10 * i;
                const Kernel kernel = scaling_kernel(scale, host);
                const std::unique_ptr<Module> module = backend->load(facts_of(kernel), backend->compile(kernel, backend->source(kernel)));
                check_scaling(*module, scale);
            }
        });
    }
    for (std::thread& thread : threads) thread.join();
}

namespace {

void load_many(int count, int most_mappings) {
    const std::unique_ptr<Backend> backend = make_llvm_backend();
    const Kernel kernel = scaling_kernel(3, host_cpu_target());
    const Artifact artifact = backend->compile(kernel, backend->source(kernel));
    backend->load(facts_of(kernel), artifact);
    const int before = mappings_of_this_process();
    for (int round = 0; round < 2; ++round) {
        std::vector<std::unique_ptr<Module>> modules;
        const auto start = std::chrono::steady_clock::now();
        for (int i = 0; i < count; ++i) modules.push_back(backend->load(facts_of(kernel), artifact));
        const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
        INFO(fmt::format("{} kernels: {:.0f} us each, {} mappings", count, 1e6 * seconds / count,
                         mappings_of_this_process() - before));
        CHECK(mappings_of_this_process() - before <= most_mappings);
        for (const int i : {0, count / 2, count - 1}) check_scaling(*modules[static_cast<std::size_t>(i)], 3);
        // Every other one first: what is freed in between must not disturb the neighbours.
        for (std::size_t i = 0; i < modules.size(); i += 2) modules[i].reset();
        check_scaling(*modules[1], 3);
    }
}

}  // namespace

TEST_CASE("llvm backend: hundreds of kernels share mappings") {
    if (have_llvm_backend()) load_many(300, 40);
}

TEST_CASE("llvm backend: ten thousand kernels in one process" * doctest::test_suite("slow")) {
    if (have_llvm_backend()) load_many(10000, 200);
}
