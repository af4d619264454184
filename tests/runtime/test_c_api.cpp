// The C functions: what they compute, and that no argument makes them do anything but return a status.
#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include <doctest/doctest.h>
#include <flashtp/flashtp.h>

#include "runtime/device.hpp"
#include "tests/support/cpu_kernel.hpp"

namespace {

// z = x y w / sqrt(3) over dot products of two vectors a channel.
const char* const dot =
    R"({"irreps_in1": "2x1o", "irreps_in2": "1o", "irreps_out": "2x0e", "instructions": [[0, 0, 0, "uvu", true]]})";

template <class T>
T sized() {
    T value{};
    value.size = sizeof value;
    return value;
}

struct EngineHandle {
    flashtp_engine* handle = nullptr;
    EngineHandle() {
        auto options = sized<flashtp_engine_options>();
        options.cache_directory = "";
        REQUIRE(flashtp_engine_create(&options, &handle) == FLASHTP_OK);
    }
    ~EngineHandle() { flashtp_engine_destroy(handle); }
};

flashtp_request request_for(const char* problem, int order = 0) {
    auto request = sized<flashtp_request>();
    request.problem = problem;
    request.order = order;
    return request;
}

struct ProgramHandle {
    EngineHandle engine;
    flashtp_program* handle = nullptr;
    explicit ProgramHandle(int order = 0) {
        const flashtp_request request = request_for(dot, order);
        REQUIRE(flashtp_compile(engine.handle, &request, &handle) == FLASHTP_OK);
    }
    ~ProgramHandle() { flashtp_program_destroy(handle); }
};

bool message_has(const char* text) { return std::strstr(flashtp_last_message(), text) != nullptr; }

}  // namespace

TEST_CASE("version and names of statuses") {
    CHECK(std::string(flashtp_version()) == FLASHTP_VERSION);
    CHECK(std::string(flashtp_status_string(FLASHTP_OK)) == "FLASHTP_OK");
    CHECK(std::string(flashtp_status_string(FLASHTP_INTERNAL_ERROR)) == "FLASHTP_INTERNAL_ERROR");
    CHECK(std::string(flashtp_status_string(-5)) == "unknown status");
}

TEST_CASE("compile, ask, run") {
    if (!flashtp::test::have_llvm_backend()) return;
    ProgramHandle program;
    int32_t count = 0;
    REQUIRE(flashtp_program_operand_count(program.handle, &count) == FLASHTP_OK);
    REQUIRE(count == 4);
    const char* const names[] = {"x", "y", "w", "z"};
    const int32_t rows[] = {FLASHTP_ROW_SENDER, FLASHTP_ROW_EDGE, FLASHTP_ROW_EDGE, FLASHTP_ROW_RECEIVER};
    const int64_t widths[] = {6, 3, 2, 2};
    for (int32_t i = 0; i < count; ++i) {
        auto operand = sized<flashtp_operand>();
        REQUIRE(flashtp_program_operand(program.handle, i, &operand) == FLASHTP_OK);
        CHECK(std::string(operand.name) == names[i]);
        CHECK(operand.row == rows[i]);
        CHECK(operand.width == widths[i]);
        CHECK(operand.role == (i == 3 ? FLASHTP_OUTPUT : FLASHTP_INPUT));
        CHECK(operand.dtype == FLASHTP_FLOAT32);
        CHECK(operand.used == 1);
    }

    const int64_t sender[] = {0, 1, 0}, receiver[] = {1, 0, 1};
    auto edges = sized<flashtp_edges>();
    edges.edges = 3, edges.senders = 2, edges.receivers = 3;
    edges.sender = sender, edges.receiver = receiver, edges.index_bits = 64;
    int32_t row_ptr[4], index_sender[3], index_edge[3], sorted = -1;
    REQUIRE(flashtp_build_receiver_index(&edges, row_ptr, index_sender, index_edge, &sorted) == FLASHTP_OK);
    CHECK(sorted == 0);
    CHECK(index_edge[0] == 1);

    float x[12], y[9], w[6], z[6];
    for (int i = 0; i < 12; ++i) x[i] = static_cast<float>(i + 1);
    for (int i = 0; i < 9; ++i) y[i] = static_cast<float>(2 - i);
    for (int i = 0; i < 6; ++i) w[i] = static_cast<float>(i - 2);
    void* operands[] = {x, y, w, z};
    auto graph = sized<flashtp_graph>();
    graph.edges = 3, graph.senders = 2, graph.receivers = 3;
    graph.row_ptr = row_ptr, graph.sender = index_sender, graph.edge = index_edge;
    auto pool = sized<flashtp_pool>();
    pool.parallel = [](void*, int32_t numbers, flashtp_work work, void* context) {
        while (numbers > 0) work(context, --numbers);
    };
    for (const int threads : {0, 1, 2, -3}) {
        std::fill_n(z, 6, NAN);
        if (threads >= 0) REQUIRE(flashtp_run_cpu(program.handle, operands, 4, &graph, threads) == FLASHTP_OK);
        pool.threads = -threads;  // the last run is on the caller's pool
        if (threads < 0) REQUIRE(flashtp_run_cpu_on(program.handle, operands, 4, &graph, &pool) == FLASHTP_OK);
        float expected[6] = {};
        for (int e = 0; e < 3; ++e) {
            for (int u = 0; u < 2; ++u) {
                for (int m = 0; m < 3; ++m) {
                    expected[2 * receiver[e] + u] += w[2 * e + u] * x[6 * sender[e] + 3 * u + m] * y[3 * e + m] / std::sqrt(3.0f);
                }
            }
        }
        for (int i = 0; i < 6; ++i) CHECK(z[i] == doctest::Approx(expected[i]));
    }
}

TEST_CASE("kernels and explanations") {
    if (!flashtp::test::have_llvm_backend()) return;
    ProgramHandle program(1);
    int32_t count = 0;
    REQUIRE(flashtp_program_kernel_count(program.handle, &count) == FLASHTP_OK);
    REQUIRE(count >= 1);
    auto kernel = sized<flashtp_kernel>();
    REQUIRE(flashtp_program_kernel(program.handle, 0, &kernel) == FLASHTP_OK);
    CHECK(std::strlen(kernel.key) == 64);
    CHECK(kernel.code_bytes > 0);
    CHECK(kernel.cached == 0);
    const char* text = nullptr;
    REQUIRE(flashtp_program_explain(program.handle, FLASHTP_EXPLAIN_TEXT, &text) == FLASHTP_OK);
    CHECK(std::strstr(text, "order 1") != nullptr);
    REQUIRE(flashtp_program_explain(program.handle, FLASHTP_EXPLAIN_JSON, &text) == FLASHTP_OK);
    CHECK(text[0] == '{');
    CHECK(flashtp_program_explain(program.handle, 7, &text) == FLASHTP_INVALID_ARGUMENT);
    CHECK(flashtp_program_prepare(program.handle) == FLASHTP_OK);
    auto counts = sized<flashtp_cache_counts>();
    CHECK(flashtp_engine_cache_counts(program.engine.handle, &counts) == FLASHTP_OK);
    CHECK(counts.hits == 0);
}

TEST_CASE("every null argument is named") {
    flashtp_engine* engine = nullptr;
    CHECK(flashtp_engine_create(nullptr, nullptr) == FLASHTP_INVALID_ARGUMENT);
    CHECK(message_has("engine is null"));
    flashtp_program* program = nullptr;
    const flashtp_request request = request_for(dot);
    CHECK(flashtp_compile(nullptr, &request, &program) == FLASHTP_INVALID_ARGUMENT);
    CHECK(message_has("engine is null"));
    {
        EngineHandle own;
        CHECK(flashtp_compile(own.handle, nullptr, &program) == FLASHTP_INVALID_ARGUMENT);
        CHECK(flashtp_compile(own.handle, &request, nullptr) == FLASHTP_INVALID_ARGUMENT);
        flashtp_request without = request_for(nullptr);
        CHECK(flashtp_compile(own.handle, &without, &program) == FLASHTP_INVALID_ARGUMENT);
        CHECK(message_has("request.problem is null"));
        CHECK(flashtp_engine_cache_counts(own.handle, nullptr) == FLASHTP_INVALID_ARGUMENT);
        CHECK(flashtp_build_receiver_index_cuda(own.handle, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr, 0, nullptr) ==
              FLASHTP_INVALID_ARGUMENT);
    }
    int32_t count = 0;
    CHECK(flashtp_engine_cache_counts(nullptr, nullptr) == FLASHTP_INVALID_ARGUMENT);
    CHECK(flashtp_program_operand_count(nullptr, &count) == FLASHTP_INVALID_ARGUMENT);
    CHECK(flashtp_program_operand(nullptr, 0, nullptr) == FLASHTP_INVALID_ARGUMENT);
    CHECK(flashtp_program_kernel_count(nullptr, nullptr) == FLASHTP_INVALID_ARGUMENT);
    CHECK(flashtp_program_kernel(nullptr, 0, nullptr) == FLASHTP_INVALID_ARGUMENT);
    CHECK(flashtp_program_explain(nullptr, 0, nullptr) == FLASHTP_INVALID_ARGUMENT);
    CHECK(flashtp_program_prepare(nullptr) == FLASHTP_INVALID_ARGUMENT);
    CHECK(flashtp_run_cpu(nullptr, nullptr, 0, nullptr, 1) == FLASHTP_INVALID_ARGUMENT);
    CHECK(flashtp_run_cpu_on(nullptr, nullptr, 0, nullptr, nullptr) == FLASHTP_INVALID_ARGUMENT);
    CHECK(flashtp_program_workspace(nullptr, nullptr, nullptr) == FLASHTP_INVALID_ARGUMENT);
    CHECK(flashtp_launch_cuda(nullptr, nullptr, 0, nullptr, nullptr) == FLASHTP_INVALID_ARGUMENT);
    CHECK(flashtp_build_receiver_index(nullptr, nullptr, nullptr, nullptr, nullptr) == FLASHTP_INVALID_ARGUMENT);
    CHECK(flashtp_receiver_index_workspace(nullptr, nullptr) == FLASHTP_INVALID_ARGUMENT);
    CHECK(flashtp_build_receiver_index_cuda(nullptr, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr, 0, nullptr) ==
          FLASHTP_INVALID_ARGUMENT);
    flashtp_engine_destroy(engine);
    flashtp_program_destroy(program);
}

TEST_CASE("sizes of structures: unset, older, newer") {
    flashtp_engine* engine = nullptr;
    flashtp_engine_options options{};
    CHECK(flashtp_engine_create(&options, &engine) == FLASHTP_INVALID_ARGUMENT);
    CHECK(message_has("options.size is 0"));
    options.size = offsetof(flashtp_engine_options, threads);
    options.cache_directory = "";
    options.threads = -7;  // beyond what this caller claims to have
    CHECK(flashtp_engine_create(&options, &engine) == FLASHTP_OK);
    flashtp_engine_destroy(engine);
    options.size = sizeof options;
    CHECK(flashtp_engine_create(&options, &engine) == FLASHTP_INVALID_ARGUMENT);
    CHECK(message_has("options.threads is -7"));

    struct Newer {
        flashtp_engine_options known;
        int64_t unknown;
    } newer{};
    newer.known.size = sizeof newer;
    newer.known.cache_directory = "";
    CHECK(flashtp_engine_create(&newer.known, &engine) == FLASHTP_OK);
    flashtp_engine_destroy(engine);
    newer.unknown = 1;
    CHECK(flashtp_engine_create(&newer.known, &engine) == FLASHTP_INVALID_ARGUMENT);
    CHECK(engine == nullptr);
}

TEST_CASE("a problem's mistakes have statuses of their own") {
    EngineHandle engine;
    flashtp_program* program = nullptr;
    const auto compile = [&](const char* problem, int order = 0, const char* target = nullptr) {
        flashtp_request request = request_for(problem, order);
        request.target = target;
        return flashtp_compile(engine.handle, &request, &program);
    };
    CHECK(compile("{") == FLASHTP_INVALID_PROBLEM);
    CHECK(compile(R"({"irreps_in1": "1o", "irreps_in2": "1o", "irreps_out": "1o", "instructions": [[0, 0, 0, "uvu", true]]})") ==
          FLASHTP_INVALID_PROBLEM);
    CHECK(message_has("instruction"));
    CHECK(compile(R"({"irreps_in1": "1x99e", "irreps_in2": "0e", "irreps_out": "0e", "instructions": []})") ==
          FLASHTP_LIMIT_EXCEEDED);
    CHECK(message_has("max_l"));
    CHECK(compile(dot, 9) == FLASHTP_INVALID_PROBLEM);
    CHECK(compile(dot, 0, "sm_91") == FLASHTP_INVALID_ARGUMENT);
    CHECK(message_has("sm_91"));
    CHECK(program == nullptr);
}

TEST_CASE("GPU calls without a driver say so") {
    if (flashtp::has_cuda_device()) return;
    EngineHandle engine;
    flashtp_program* program = nullptr;
    flashtp_request request = request_for(dot);
    request.target = "cuda";
    CHECK(flashtp_compile(engine.handle, &request, &program) == FLASHTP_DEVICE_ERROR);
    CHECK(message_has("driver"));

    auto edges = sized<flashtp_edges>();
    edges.index_bits = 32;
    int32_t row_ptr[1];
    int64_t report[2];
    CHECK(flashtp_build_receiver_index_cuda(engine.handle, &edges, row_ptr, nullptr, nullptr, report, nullptr, 0, nullptr) ==
          FLASHTP_DEVICE_ERROR);
}

TEST_CASE("bad graphs and operands") {
    if (!flashtp::test::have_llvm_backend()) return;
    ProgramHandle program;
    float x[6] = {}, y[3] = {}, w[2] = {}, z[2] = {};
    void* operands[] = {x, y, w, z};
    const int32_t row_ptr[] = {0, 1}, sender[] = {0};
    auto graph = sized<flashtp_graph>();
    graph.edges = 1, graph.senders = 1, graph.receivers = 1, graph.row_ptr = row_ptr, graph.sender = sender;
    REQUIRE(flashtp_run_cpu(program.handle, operands, 4, &graph, 1) == FLASHTP_OK);
    CHECK(flashtp_run_cpu(program.handle, operands, 3, &graph, 1) == FLASHTP_INVALID_ARGUMENT);
    CHECK(flashtp_run_cpu(program.handle, operands, -1, &graph, 1) == FLASHTP_INVALID_ARGUMENT);
    CHECK(flashtp_run_cpu(program.handle, nullptr, 4, &graph, 1) == FLASHTP_INVALID_ARGUMENT);
    CHECK(flashtp_run_cpu(program.handle, operands, 4, &graph, -1) == FLASHTP_INVALID_ARGUMENT);
    CHECK(flashtp_launch_cuda(program.handle, operands, 4, &graph, nullptr) == FLASHTP_INVALID_ARGUMENT);
    graph.receivers = INT64_MAX;
    CHECK(flashtp_run_cpu(program.handle, operands, 4, &graph, 1) == FLASHTP_INVALID_ARGUMENT);
    graph.receivers = 1;
    graph.row_ptr = reinterpret_cast<const int32_t*>(reinterpret_cast<const char*>(row_ptr) + 1);
    CHECK(flashtp_run_cpu(program.handle, operands, 4, &graph, 1) == FLASHTP_INVALID_ARGUMENT);
    auto operand = sized<flashtp_operand>();
    CHECK(flashtp_program_operand(program.handle, 4, &operand) == FLASHTP_INVALID_ARGUMENT);
    CHECK(flashtp_program_operand(program.handle, -1, &operand) == FLASHTP_INVALID_ARGUMENT);
}

TEST_CASE("every thread has its own message") {
    std::atomic<int> wrong{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < 32; ++t) {
        threads.emplace_back([&, t] {
            for (int i = 0; i < 50; ++i) {
                flashtp_engine_options options{};
                options.size = sizeof options;
                options.threads = -1 - t;
                flashtp_engine* engine = nullptr;
                wrong += flashtp_engine_create(&options, &engine) != FLASHTP_INVALID_ARGUMENT;
                wrong += !message_has(("threads is " + std::to_string(-1 - t) + ";").c_str());
            }
        });
    }
    for (std::thread& thread : threads) thread.join();
    CHECK(wrong == 0);
}

TEST_CASE("warnings reach the callback") {
    if (!flashtp::test::have_llvm_backend()) return;
    static std::atomic<int> warnings;
    warnings = 0;
    auto options = sized<flashtp_engine_options>();
    options.cache_directory = "/dev/null/cache";
    options.log = [](int32_t level, const char*, void*) { warnings += level == FLASHTP_LOG_WARNING; };
    flashtp_engine* engine = nullptr;
    REQUIRE(flashtp_engine_create(&options, &engine) == FLASHTP_OK);
    const flashtp_request request = request_for(dot);
    flashtp_program* program = nullptr;
    CHECK(flashtp_compile(engine, &request, &program) == FLASHTP_OK);
    CHECK(warnings == 1);
    flashtp_program_destroy(program);
    flashtp_engine_destroy(engine);
}
