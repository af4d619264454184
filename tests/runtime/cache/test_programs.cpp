// Programs in the cache: found by what was asked, run without being lowered, and never those of another compiler.
#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <iostream>
#include <set>

#include <doctest/doctest.h>

#include "compiler/pipeline.hpp"
#include "ir/error.hpp"
#include "ir/kernel_print.hpp"
#include "runtime/code_identity.hpp"
#include "runtime/engine.hpp"
#include "runtime/problem_file.hpp"
#include "runtime/program_record.hpp"
#include "runtime/self_check.hpp"
#include "tests/runtime/temporary_directory.hpp"
#include "tests/support/cpu_kernel.hpp"
#include "tests/support/run_kernel.hpp"
#include "tests/support/slowdown.hpp"

using namespace flashtp;
using namespace flashtp::test;
namespace fs = std::filesystem;

namespace {

Problem small_layer(std::string name = "") {
    Problem problem = parse_problem(R"({"irreps_in1": "8x0e+8x1o", "irreps_in2": "0e+1o", "irreps_out": "8x0e+8x1o",
        "instructions": [[0, 0, 0, "uvu", true], [0, 1, 1, "uvu", true], [1, 1, 0, "uvu", true]]})");
    problem.name = std::move(name);
    return problem;
}

EngineOptions cached_in(const fs::path& directory) {
    EngineOptions options;
    options.cache_directory = directory;
    options.read_only_caches.emplace();
    return options;
}

std::shared_ptr<Program> compiled(Engine& engine, const Problem& problem, int order) {
    return engine.compile(problem, {order, {}, {}}, engine.target("cpu"));
}

/// Changes a program's record where it lies.
void plant(const fs::path& directory, const Problem& problem, int order, const std::function<void(ProgramRecord&)>& change) {
    Engine engine(cached_in(directory));
    const auto program = compiled(engine, problem, order);
    const Key key = engine.key(*program);
    Record record = *engine.store().load_record(key, EntryKind::program);
    ProgramRecord content = parse_program_record(record.text);
    change(content);
    record.text = to_text(content);
    CHECK(engine.store().save_record(key, record, true));
}

std::string hex_of(const Problem& problem, const Request& request, const Target& target, const LoweringOptions& options = {},
                   std::string_view toolchain = "compiler 1") {
    return program_key(problem, request, target, options, toolchain).hex();
}

}  // namespace

TEST_CASE("a second process finds a program and does not lower it") {
    if (!have_llvm_backend()) return;
    const TemporaryDirectory directory;
    for (const int order : {0, 1, 2, 3}) {
        CAPTURE(order);
        // What lowering would not say: the program can only have it from the record.
        plant(directory.path(), small_layer(), order, [](ProgramRecord& record) { record.plan.kernels[0].rows_per_warp = 77; });
        Engine engine(cached_in(directory.path()));
        const auto program = compiled(engine, small_layer("another name"), order);
        CHECK(program->plan().kernels[0].rows_per_warp == 77);
        CHECK(program->problem().name == "another name");
        CHECK(program->kernels()[0].cached);
        CHECK(self_check(*program, 2).empty());
        const StoreCounts counts = engine.store().counts();
        CHECK(counts.program_hits == 1);
        CHECK(counts.program_misses == 0);
        CHECK(counts.hits == 1);
    }
}

TEST_CASE("a program whose kernel is gone is compiled again") {
    if (!have_llvm_backend()) return;
    const TemporaryDirectory directory;
    plant(directory.path(), small_layer(), 1, [](ProgramRecord& record) { record.plan.kernels[0].rows_per_warp = 77; });
    {
        Engine engine(cached_in(directory.path()));
        for (const StoredFile& file : engine.store().list())
            if (file.kernel == "flashtp_order1") fs::remove(file.path);
    }
    Engine engine(cached_in(directory.path()));
    const auto program = compiled(engine, small_layer(), 1);
    CHECK_FALSE(program->kernels()[0].cached);
    CHECK(program->plan().kernels[0].rows_per_warp != 77);
    CHECK(self_check(*program, 2).empty());
}

TEST_CASE("K4: the program of another compiler is never used, its code is where the source is the same") {
    if (!have_llvm_backend()) return;
    const TemporaryDirectory directory;
    Engine engine(cached_in(directory.path()));
    const auto program = compiled(engine, small_layer(), 1);
    const Key now = engine.key(*program);
    const std::vector<KeyField> fields = key_fields(now.text());
    CHECK(std::ranges::count(fields, KeyField{"library", code_identity()}) == 1);
    // Another library: the same record under a key that says so.
    Key other;
    for (const KeyField& field : fields) other.add(field.tag, field.tag == "library" ? "sources sha256:00" : field.value);
    CHECK(engine.store().save_record(other, *engine.store().load_record(now, EntryKind::program)));
    fs::remove(engine.store().path_of(now));
    Engine again(cached_in(directory.path()));
    CHECK(again.find(small_layer(), {1, {}, {}}, again.target("cpu")) == nullptr);
    CHECK(compiled(again, small_layer(), 1)->kernels()[0].cached);
    CHECK(again.store().counts().program_hits == 0);
}

TEST_CASE("K4: any change of a source changes the compiler's identity, a copy of the tree does not") {
    if (std::system("cmake --version >/dev/null 2>&1") != 0) {
        std::cout << "SKIPPED: cmake is not installed" << std::endl;
        return;
    }
    const TemporaryDirectory directory;
    const fs::path source = FLASHTP_SOURCE_DIR;
    const auto digest_of = [&](const fs::path& tree) {
        const fs::path output = directory.path() / "digest.cpp";
        const std::string command = fmt::format("cmake -D SOURCE={} -D FOLDERS=ir,compiler -D OUTPUT={} -P {}", tree.string(),
                                                output.string(), (source / "cmake/DigestSources.cmake").string());
        REQUIRE(std::system(command.c_str()) == 0);
        return read_text(output);
    };
    for (const char* folder : {"ir", "compiler"}) fs::copy(source / folder, directory.path() / folder, fs::copy_options::recursive);
    const std::string before = digest_of(source);
    CHECK(digest_of(directory.path()) == before);
    fs::last_write_time(directory.path() / "compiler/nest.cpp", fs::file_time_type{});
    CHECK(digest_of(directory.path()) == before);
    fs::rename(directory.path() / "compiler/nest.cpp", directory.path() / "compiler/nests.cpp");
    CHECK(digest_of(directory.path()) != before);
    fs::rename(directory.path() / "compiler/nests.cpp", directory.path() / "compiler/nest.cpp");
    fs::resize_file(directory.path() / "compiler/nest.cpp", fs::file_size(directory.path() / "compiler/nest.cpp") - 1);
    CHECK(digest_of(directory.path()) != before);
}

TEST_CASE("K1: whatever is asked for changes a program's key, the layer's name does not") {
    std::set<std::string> keys;
    const Problem problem = small_layer();
    const Target target = cuda_target("sm_90a");
    CHECK(hex_of(small_layer("name"), {}, target) == hex_of(problem, {}, target));
    keys.insert(hex_of(problem, {}, target));
    keys.insert(hex_of(problem, {1, {}, {}}, target));
    keys.insert(hex_of(problem, {1, {"d_x"}, {}}, target));
    keys.insert(hex_of(problem, {2, {}, {"t_x"}}, target));
    keys.insert(hex_of(problem, {2, {}, {}}, target));
    keys.insert(hex_of(problem, {}, cuda_target("sm_90")));
    keys.insert(hex_of(problem, {}, cpu_target("x86-64-v3")));
    keys.insert(hex_of(problem, {}, target, {}, "compiler 2"));
    Problem other = problem;
    other.dtype = DType::float64;
    keys.insert(hex_of(other, {}, target));
    other = problem;
    other.deterministic = true;
    keys.insert(hex_of(other, {}, target));
    LoweringOptions options;
    options.general = true;
    keys.insert(hex_of(problem, {}, target, options));
    options = {};
    options.factoring = Factoring::weights_first;
    keys.insert(hex_of(problem, {}, target, options));
    options = {};
    options.schedule.emplace();
    keys.insert(hex_of(problem, {}, target, options));
    options.schedule->warps_per_block = 2;
    keys.insert(hex_of(problem, {}, target, options));
    options = {};
    options.knobs.emplace();
    keys.insert(hex_of(problem, {}, target, options));
    options.knobs->prefetch = 5;
    keys.insert(hex_of(problem, {}, target, options));
    CHECK(keys.size() == 16);
}

TEST_CASE("a tuned schedule is found by a second process, for graphs of its class only") {
    if (!have_llvm_backend()) return;
    const TemporaryDirectory directory;
    const Problem problem = small_layer();
    const Request request{1, {}, {}};
    TunedSchedule winner{{}, "measured"};
    {
        Engine engine(cached_in(directory.path()));
        const Target target = engine.target("cpu");
        winner.knobs = default_knobs(target, request, problem.dtype);
        winner.knobs->operations_per_task = 7;
        CHECK(engine.save_tuned(problem, request, target, SizeClass::small, winner));
        CHECK(engine.find_tuned(problem, request, target, SizeClass::small) == winner);
    }
    Engine engine(cached_in(directory.path()));
    const Target target = engine.target("cpu");
    for (const std::int64_t edges : {1, 100, 2'048, 8'191}) {
        const auto program = engine.compile(problem, request, target, {}, size_class(edges));
        CHECK(program->options().knobs == winner.knobs);
        CHECK(program->options().tuned == "measured");
        CHECK(self_check(*program, 2).empty());
    }
    for (const std::int64_t edges : {0, 8'192, 65'536, 1'000'000})
        CHECK_FALSE(engine.compile(problem, request, target, {}, size_class(edges))->options().knobs);
    CHECK_FALSE(engine.compile(problem, {0, {}, {}}, target, {}, SizeClass::small)->options().knobs);
    LoweringOptions given;
    given.general = true;
    CHECK_FALSE(engine.compile(problem, request, target, given, SizeClass::small)->options().knobs);
    CHECK(engine.store().counts().tuned_hits > 0);
    // A better winner takes its place; the default may be it.
    CHECK(engine.save_tuned(problem, request, target, SizeClass::small, {{}, "the default"}));
    CHECK_FALSE(engine.compile(problem, request, target, {}, SizeClass::small)->options().knobs);
    engine.store().clear();
    CHECK_FALSE(engine.find_tuned(problem, request, target, SizeClass::small));
}

TEST_CASE("a tuned schedule is never required") {
    if (!have_llvm_backend()) return;
    const TemporaryDirectory directory;
    const Problem problem = small_layer();
    const Request request{1, {}, {}};
    EngineOptions strict = cached_in(directory.path());
    strict.require_cached = true;
    {
        Engine engine(cached_in(directory.path()));
        const Target target = engine.target("cpu");
        engine.compile(problem, request, target);
        ScheduleKnobs knobs = default_knobs(target, request, problem.dtype);
        knobs.operations_per_task = 7;
        engine.save_tuned(problem, request, target, SizeClass::large, {knobs, "measured"});
    }
    Engine engine(strict);
    CHECK_FALSE(engine.compile(problem, request, engine.target("cpu"))->options().knobs);
    CHECK_THROWS_AS(engine.compile(problem, {0, {}, {}}, engine.target("cpu")), NotCachedError);
}

TEST_CASE("a tuned schedule's record is read as it was written, and its key is that of the device and the request") {
    ScheduleKnobs knobs;
    knobs.stage_bytes = 12345;
    knobs.staged = false;
    for (const TunedSchedule& tuned : {TunedSchedule{knobs, "here"}, TunedSchedule{{}, ""}}) CHECK(parse_tuned(to_text(tuned)) == tuned);
    for (const char* bad : {"", "knobs:0:\n", "knobs:2:{}\nmeasured:0:\n", "measured:0:\nknobs:0:\n"})
        CHECK_THROWS_AS(parse_tuned(bad), UserError);
    Target target = cuda_target("sm_90a");
    std::set<std::string> keys;
    const Problem problem = small_layer();
    CHECK(tuned_key(small_layer("name"), {}, target, SizeClass::small).text() == tuned_key(problem, {}, target, SizeClass::small).text());
    keys.insert(tuned_key(problem, {}, target, SizeClass::small).hex());
    keys.insert(tuned_key(problem, {}, target, SizeClass::medium).hex());
    keys.insert(tuned_key(problem, {1, {}, {}}, target, SizeClass::small).hex());
    target.device = "NVIDIA H200";
    keys.insert(tuned_key(problem, {}, target, SizeClass::small).hex());
    target.device = "NVIDIA H100";
    keys.insert(tuned_key(problem, {}, target, SizeClass::small).hex());
    CHECK(keys.size() == 5);
}

TEST_CASE("a program's record is read as it was written, and nothing else is read") {
    for (const int order : {0, 1, 2, 3}) {
        for (const char* target : {"sm_90a", "x86-64-v3"}) {
            const Target wanted = target[0] == 's' ? cuda_target(target) : cpu_target(target);
            const Lowered lowered = lower(small_layer(), {order, {}, {}}, wanted, {});
            ProgramRecord record{plan_of(lowered, DType::float32), {}};
            for (const Kernel& kernel : lowered.kernels) record.kernels.push_back(kernel_key(kernel, "source", "compiler").text());
            const std::string text = to_text(record);
            CHECK(parse_program_record(text) == record);
            CHECK_THROWS_AS(parse_program_record(text.substr(0, text.size() - 1)), UserError);
            CHECK_THROWS_AS(parse_program_record(text + text), UserError);
            for (const auto& change : std::vector<std::function<void(LaunchPlan&)>>{
                     [](LaunchPlan& plan) { plan.operands.clear(); }, [](LaunchPlan& plan) { plan.operands[0].width = -1; },
                     [](LaunchPlan& plan) { plan.operands[0].row = static_cast<Row>(9); },
                     [](LaunchPlan& plan) { plan.outputs[0].operand = 99; },
                     [](LaunchPlan& plan) { plan.arguments[0] = ArgumentList({-4}); },
                     [](LaunchPlan& plan) { plan.kernels[0].warps_per_block = 0; }, [](LaunchPlan& plan) { plan.kernels.clear(); }}) {
                ProgramRecord bad = record;
                change(bad.plan);
                CHECK_THROWS_AS(parse_program_record(to_text(bad)), UserError);
            }
        }
    }
    CHECK_THROWS_AS(parse_program_record(""), UserError);
    CHECK_THROWS_AS(parse_program_record(Key().add("plan", "{}").text()), UserError);
    CHECK_THROWS_AS(parse_program_record(Key().add("plan", "[[[").text()), UserError);
}

/// Kernels of the layers' programs, equal ones once. How many have another in front, for linear forms, depends on the CPU's vectors.
std::size_t distinct_kernels(const std::vector<Problem>& layers, const Target& target) {
    std::set<std::string> texts;
    for (const Problem& layer : layers)
        for (const int order : {0, 1, 2})
            for (const Kernel& kernel : lower(layer, {order, {}, {}}, target, {}).kernels) texts.insert(to_string(kernel));
    return texts.size();
}

TEST_CASE("C19: a process that finds the nine programs of a model") {
    if (!have_llvm_backend()) return;
    const TemporaryDirectory directory;
    const std::vector<Problem> layers = load_problems(FLASHTP_SOURCE_DIR "/examples/specs/sevennet-l3i5.json");
    double found = 1e9, loaded = 1e9;
    std::size_t kernels = 0;
    for (int i = 0; i < 6; ++i) {
        const auto start = std::chrono::steady_clock::now();
        const auto seconds = [&] { return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(); };
        Engine engine(cached_in(directory.path()));
        std::vector<std::shared_ptr<Program>> programs;
        for (const Problem& layer : layers)
            for (const int order : {0, 1, 2}) programs.push_back(compiled(engine, layer, order));
        const double looked_up = seconds();
        for (const auto& program : programs) program->prepare();
        kernels = static_cast<std::size_t>(engine.store().counts().hits);
        if (i == 0) continue;  // compiled
        found = std::min(found, looked_up);
        loaded = std::min(loaded, seconds());
    }
    CHECK(distinct_kernels(layers, cpu_target("x86-64-v3")) == 9 + 3);  // the first layer's beyond forward, and one that both others' backward share
    CHECK(kernels == distinct_kernels(layers, Engine(memory_only()).target("cpu")));
    MESSAGE("found in " << found * 1e3 << " ms, ready to run in " << loaded * 1e3 << " ms");
    CHECK(loaded < 0.5 * slowdown);  // 50 ms in a release build: see docs/reliability.md
}
