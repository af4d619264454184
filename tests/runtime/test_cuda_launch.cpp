// Launches on a device: where they go, what they wait for, how far they reach, and what is left after a kernel has failed. Without a
// device these cases say SKIPPED.
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <numeric>

#include <doctest/doctest.h>

#include "ir/error.hpp"
#include "runtime/device.hpp"
#include "runtime/driver.hpp"
#include "runtime/edges.hpp"
#include "runtime/engine.hpp"
#include "runtime/self_check.hpp"
#include "runtime/shared_library.hpp"
#include "tests/runtime/memory_only.hpp"
#include "tests/runtime/temporary_directory.hpp"
#include "tests/support/device_or_skip.hpp"

using namespace flashtp;
using namespace flashtp::test;
namespace fs = std::filesystem;

namespace {

const char* const two_paths_json = R"({"irreps_in1": "32x0e+32x1o", "irreps_in2": "0e+1o", "irreps_out": "32x0e+32x1o",
    "instructions": [[0, 0, 0, "uvu", true], [0, 1, 1, "uvu", true]]})";

/// What this library itself does not need.
struct LaunchApi {
    CudaStatus (*begin_capture)(CudaStream, int);
    CudaStatus (*end_capture)(CudaStream, void**);
    CudaStatus (*graph_nodes)(void*, void**, std::size_t*);
    CudaStatus (*node_type)(void*, int*);
    CudaStatus (*allocate_host)(void**, std::size_t, unsigned);
    CudaStatus (*device_pointer)(CudaAddress*, void*, unsigned);

    LaunchApi() {
        std::string error;
        const auto driver = SharedLibrary::open("libcuda.so.1", error);
        REQUIRE(driver);
        driver->bind(begin_capture, "cuStreamBeginCapture_v2");
        driver->bind(end_capture, "cuStreamEndCapture");
        driver->bind(graph_nodes, "cuGraphGetNodes");
        driver->bind(node_type, "cuGraphNodeGetType");
        driver->bind(allocate_host, "cuMemHostAlloc");
        driver->bind(device_pointer, "cuMemHostGetDevicePointer_v2");
    }
};

/// This program again with some of its cases, and the environment it says.
int run_cases(const std::string& cases, const std::string& environment = "") {
    char self[4096] = "";
    REQUIRE(::readlink("/proc/self/exe", self, sizeof self - 1) > 0);
    return std::system(fmt::format("{} {} --test-case='{}' --no-skip >/dev/null", environment, self, cases).c_str());
}

/// A kernel of a test's own, loaded into the current context.
CudaFunction load_function(Engine& engine, const std::string& name, const std::string& source) {
    Kernel kernel;
    kernel.name = name;
    kernel.target = engine.target("cuda");
    const auto compiled = engine.compile(kernel, source);
    const Driver& driver = Driver::get();
    CudaModule module = nullptr;
    CudaFunction function = nullptr;
    driver.check(driver.load_module(&module, compiled.artifact->code.data()), "cuModuleLoadData");
    driver.check(driver.module_function(&function, module, name.c_str()), "cuModuleGetFunction");
    return function;
}

/// A sample in device memory, with `rows` rows of edges of which the sample's are those numbered in `places`; the others are zero.
class SparseOperands {
  public:
    SparseOperands(const Program& program, const Sample& sample, std::int64_t rows, std::vector<std::int64_t> places)
        : program_(program), host_(program.operands(), sample), rows_(rows), places_(std::move(places)) {
        for (std::size_t i = 0; i < program.operands().size(); ++i) {
            const ProgramOperand& operand = program.operands()[i];
            const std::span<std::byte> from = host_.memory()[i];
            if (!is_sparse(operand)) {
                memory_.push_back(DeviceBuffer::copy_of(std::span<const std::byte>(from)));
                continue;
            }
            const std::size_t row_bytes = bytes_of_row(operand);
            DeviceBuffer& to = memory_.emplace_back(static_cast<std::size_t>(rows) * row_bytes);
            to.fill(0);
            for (std::size_t k = 0; k < places_.size(); ++k)
                to.upload(from.data() + k * row_bytes, row_bytes, static_cast<std::size_t>(places_[k]) * row_bytes);
        }
    }

    std::vector<void*> pointers() const {
        std::vector<void*> pointers;
        for (const DeviceBuffer& buffer : memory_) pointers.push_back(buffer.data());
        return pointers;
    }

    Tensors outputs() {
        for (std::size_t i = 0; i < program_.operands().size(); ++i) {
            const ProgramOperand& operand = program_.operands()[i];
            const std::span<std::byte> to = host_.memory()[i];
            if (operand.role != Role::output) continue;
            if (!is_sparse(operand)) {
                memory_[i].download(to.data(), to.size());
                continue;
            }
            const std::size_t row_bytes = bytes_of_row(operand);
            for (std::size_t k = 0; k < places_.size(); ++k)
                memory_[i].download(to.data() + k * row_bytes, row_bytes, static_cast<std::size_t>(places_[k]) * row_bytes);
        }
        return host_.outputs();
    }

  private:
    static std::size_t bytes_of_row(const ProgramOperand& o) { return static_cast<std::size_t>(o.width) * size_of(o.dtype); }
    bool is_sparse(const ProgramOperand& o) const { return o.row == Row::edge || !program_.problem().convolution; }

    const Program& program_;
    HostOperands host_;
    std::int64_t rows_;
    std::vector<std::int64_t> places_;
    std::vector<DeviceBuffer> memory_;
};

/// Edges over the whole graph: all receivers have the same number of them, and neighbours in the list have neighbouring senders.
struct DenseIndex {
    std::vector<std::int32_t> row_ptr, sender;

    DenseIndex(std::int64_t edges, std::int64_t nodes)
        : row_ptr(static_cast<std::size_t>(nodes) + 1), sender(static_cast<std::size_t>(edges)) {
        for (std::int64_t r = 0; r <= nodes; ++r)
            row_ptr[static_cast<std::size_t>(r)] = static_cast<std::int32_t>(r * edges / nodes);
        for (std::int64_t e = 0; e < edges; ++e) sender[static_cast<std::size_t>(e)] = static_cast<std::int32_t>(e % nodes);
    }
    std::int32_t receiver(std::int64_t edge) const {
        return static_cast<std::int32_t>(std::ranges::upper_bound(row_ptr, static_cast<std::int32_t>(edge)) - row_ptr.begin() -
                                         1);
    }
};

/// The rows around which offsets in a matrix of this width pass 2^31 and 2^32 elements, and the ends.
std::vector<std::int64_t> rows_at_limits(std::int64_t rows, std::int64_t width) {
    std::vector<std::int64_t> places = {0, 1};
    for (const std::int64_t limit : {std::int64_t{1} << 31, std::int64_t{1} << 32})
        for (const std::int64_t element : {limit - 1, limit, limit + 1}) places.push_back(element / width);
    places.push_back(rows - 1);
    std::ranges::sort(places);
    places.erase(std::unique(places.begin(), places.end()), places.end());
    return places;
}

void check_far_rows(Engine& engine, bool convolution, int order) {
    CAPTURE(convolution);
    CAPTURE(order);
    constexpr std::int64_t width = 256, nodes = 500, rows = (std::int64_t{1} << 32) / width + 3;
    const Problem problem = parse_problem(fmt::format(
        R"({{"irreps_in1": "{0}x0e", "irreps_in2": "0e", "irreps_out": "{0}x0e", "instructions": [[0, 0, 0, "uvu", true]], "convolution": {1}}})",
        width, convolution));
    const auto program = engine.compile(problem, {order, {}, {}}, engine.target("cuda"));
    const std::vector<std::int64_t> places = rows_at_limits(rows, width);
    const auto sampled = static_cast<std::int64_t>(places.size());
    Sample sample =
        random_sample(problem, operands_of(problem, program->request()), {.edges = sampled, .nodes = nodes, .seed = 9});
    const DenseIndex index(convolution ? rows : 0, nodes);
    for (std::size_t k = 0; convolution && k < places.size(); ++k) {
        sample.graph.sender[k] = index.sender[static_cast<std::size_t>(places[k])];
        sample.graph.receiver[k] = index.receiver(places[k]);
    }
    SparseOperands operands(*program, sample, rows, places);
    const auto row_ptr = DeviceBuffer::copy_of(std::span<const std::int32_t>(index.row_ptr)),
               sender = DeviceBuffer::copy_of(std::span<const std::int32_t>(index.sender));
    const auto array = [](const DeviceBuffer& buffer) { return static_cast<const std::int32_t*>(buffer.data()); };
    const std::int64_t others = convolution ? nodes : rows;
    const DeviceStream stream;
    program->launch_cuda(operands.pointers(), {rows, others, others, array(row_ptr), array(sender), nullptr}, stream.get());
    stream.synchronize();
    for (const OutputCheck& check :
         compare(expect(problem, program->request(), sample), operands.outputs(), epsilon(problem.dtype))) {
        INFO(fmt::format("{}[{}][{}] is {}, expected {}", check.output, check.row, check.column, check.found, check.expected));
        CHECK(check.ok());
    }
}

}  // namespace

TEST_CASE("R9: a launch is kernels and zeroing on the caller's stream, and nothing else") {
    if (!device_or_skip()) return;
    const LaunchApi api;
    const Driver& driver = Driver::get();
    Engine engine(memory_only());
    for (const int order : {0, 1, 2}) {
        const Problem problem = parse_problem(two_paths_json);
        const auto program = engine.compile(problem, {order, {}, {}}, engine.target("cuda"));
        const Sample sample =
            random_sample(problem, operands_of(problem, program->request()), {.edges = 300, .nodes = 20, .sorted = true});
        const ReceiverIndex index = receiver_index(sample.graph);
        std::vector<std::int64_t> places(300);
        std::iota(places.begin(), places.end(), 0);
        const SparseOperands operands(*program, sample, 300, places);
        const auto row_ptr = DeviceBuffer::copy_of(std::span<const std::int32_t>(index.row_ptr)),
                   sender = DeviceBuffer::copy_of(std::span<const std::int32_t>(index.sender));
        program->prepare();
        const DeviceStream stream;
        // In a global capture the driver refuses allocations, synchronisation and work on streams that wait for this one.
        driver.check(api.begin_capture(stream.get(), 0), "cuStreamBeginCapture");
        program->launch_cuda(operands.pointers(),
                             {300, 20, 20, static_cast<const std::int32_t*>(row_ptr.data()),
                              static_cast<const std::int32_t*>(sender.data()), nullptr},
                             stream.get());
        void* graph = nullptr;
        driver.check(api.end_capture(stream.get(), &graph), "cuStreamEndCapture");
        std::size_t count = 0;
        driver.check(api.graph_nodes(graph, nullptr, &count), "cuGraphGetNodes");
        std::vector<void*> nodes(count);
        driver.check(api.graph_nodes(graph, nodes.data(), &count), "cuGraphGetNodes");
        std::size_t kernels = 0, zeroings = 0;
        for (void* node : nodes) {
            int type = -1;
            driver.check(api.node_type(node, &type), "cuGraphNodeGetType");
            kernels += type == 0;
            zeroings += type == 2;
        }
        CHECK(kernels + zeroings == count);
        CHECK(kernels >= program->kernels().size());
        CHECK(kernels + zeroings <= program->kernels().size() + program->plan().outputs.size());
    }
}

TEST_CASE("R11: what is prepared runs beside a kernel that never ends, whenever modules are loaded") {
    if (!device_or_skip()) return;
    CHECK(run_cases("R11: child*", "CUDA_MODULE_LOADING=LAZY") == 0);
    CHECK(run_cases("R11: child*", "CUDA_MODULE_LOADING=EAGER") == 0);
}

TEST_CASE("R11: child: beside a spinning kernel" * doctest::skip()) {
    const LaunchApi api;
    const Driver& driver = Driver::get();
    const CurrentContext current;
    Engine engine(memory_only());
    const Problem problem = parse_problem(two_paths_json);
    const auto program = engine.compile(problem, {0, {}, {}}, engine.target("cuda"));
    program->prepare();
    CHECK(self_check(*program, 1).empty());
    const auto cold = engine.compile(problem, {1, {}, {}}, engine.target("cuda"));
    cold->prepare();
    const Sample sample =
        random_sample(problem, operands_of(problem, cold->request()), {.edges = 300, .nodes = 20, .sorted = true});
    const ReceiverIndex index = receiver_index(sample.graph);
    std::vector<std::int64_t> places(300);
    std::iota(places.begin(), places.end(), 0);
    const SparseOperands operands(*cold, sample, 300, places);
    const auto row_ptr = DeviceBuffer::copy_of(std::span<const std::int32_t>(index.row_ptr)),
               sender = DeviceBuffer::copy_of(std::span<const std::int32_t>(index.sender));
    // The watchdog: the kernel gives up after 15 seconds of the device's clock.
    const CudaFunction spin = load_function(engine, "spin", R"(
        extern "C" __global__ void spin(volatile int* stop) {
            long long start, now;
            asm volatile("mov.u64 %0, %globaltimer;" : "=l"(start));
            do asm volatile("mov.u64 %0, %globaltimer;" : "=l"(now));
            while (*stop == 0 && now - start < 15000000000ll);
        })");
    void* flag = nullptr;
    driver.check(api.allocate_host(&flag, sizeof(int), 2), "cuMemHostAlloc");
    *static_cast<volatile int*>(flag) = 0;
    CudaAddress address{};
    driver.check(api.device_pointer(&address, flag, 0), "cuMemHostGetDevicePointer");
    void* arguments[] = {&address};
    const DeviceStream busy, stream;
    driver.check(driver.launch_kernel(spin, 1, 1, 1, 1, 1, 1, 0, busy.get(), arguments, nullptr), "cuLaunchKernel");
    const auto start = std::chrono::steady_clock::now();
    // Its first launch in this process: nothing may be loaded now.
    cold->launch_cuda(
        operands.pointers(),
        {300, 20, 20, static_cast<const std::int32_t*>(row_ptr.data()), static_cast<const std::int32_t*>(sender.data()), nullptr},
        stream.get());
    stream.synchronize();
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    *static_cast<volatile int*>(flag) = 1;
    busy.synchronize();
    CHECK(seconds < 10);
}

TEST_CASE("R12: after a kernel has failed every call says so at once, and the process ends well") {
    if (!device_or_skip()) return;
    CHECK(run_cases("R12: child*") == 0);
}

TEST_CASE("R12: child: after a trap" * doctest::skip()) {
    const Driver& driver = Driver::get();
    const CurrentContext current;
    Engine engine(memory_only());
    const Problem problem = parse_problem(two_paths_json);
    const auto program = engine.compile(problem, {0, {}, {}}, engine.target("cuda"));
    CHECK(self_check(*program, 1).empty());
    const CudaFunction trap = load_function(engine, "trap", R"(extern "C" __global__ void trap() { asm("trap;"); })");
    const auto stream = std::make_unique<DeviceStream>();
    driver.check(driver.launch_kernel(trap, 1, 1, 1, 1, 1, 1, 0, stream->get(), nullptr, nullptr), "cuLaunchKernel");
    CHECK_THROWS_AS(stream->synchronize(), ContextLostError);
    for (int i = 0; i < 10; ++i) {
        const auto start = std::chrono::steady_clock::now();
        CHECK_THROWS_AS(self_check(*program, 1), ContextLostError);
        CHECK_THROWS_AS(engine.compile(problem, {1, {}, {}}, program->target())->prepare(), ContextLostError);
        CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(1) + std::chrono::seconds(i == 0 ? 30 : 0));
    }
}

TEST_CASE("R14: rows beyond 2^31 and 2^32 elements" * doctest::test_suite("nightly R14")) {
    if (!device_or_skip()) return;
    if (current_device().memory_bytes < (std::int64_t{100} << 30)) {
        std::cout << "SKIPPED: this needs a device with 100 GiB of memory" << std::endl;
        return;
    }
    Engine engine(memory_only());
    for (const bool convolution : {false, true})
        for (const int order : {0, 1}) check_far_rows(engine, convolution, order);
}

TEST_CASE("R15: child: a write beyond memory, which the sanitizer must find" * doctest::skip()) {
    const Driver& driver = Driver::get();
    const CurrentContext current;
    Engine engine(memory_only());
    const CudaFunction beyond =
        load_function(engine, "beyond", R"(extern "C" __global__ void beyond(int* p) { p[1 << 16] = 1; })");
    const DeviceBuffer buffer(sizeof(int));
    void* address = buffer.data();
    void* arguments[] = {&address};
    driver.launch_kernel(beyond, 1, 1, 1, 1, 1, 1, 0, nullptr, arguments, nullptr);
    driver.synchronize_context();
}

TEST_CASE("R15: compute-sanitizer finds nothing" * doctest::test_suite("nightly R15")) {
    if (!device_or_skip()) return;
    if (std::system("compute-sanitizer --version >/dev/null 2>&1") != 0) {
        std::cout << "SKIPPED: compute-sanitizer is not on the path" << std::endl;
        return;
    }
    char self[4096] = "";
    REQUIRE(::readlink("/proc/self/exe", self, sizeof self - 1) > 0);
    const std::string compile = (fs::path(self).parent_path() / "flashtp-compile").string();
    // Where this program was carried to another machine, it is started in a copy of the tree.
    const std::string tree = fs::exists(FLASHTP_SOURCE_DIR) ? FLASHTP_SOURCE_DIR : ".";
    const TemporaryDirectory directory;
    const fs::path log = directory.path() / "log";
    constexpr int found = 9;
    const int control =
        std::system(fmt::format("compute-sanitizer --tool memcheck --error-exitcode {} {} --test-case='R15: child*' "
                                "--no-skip >/dev/null 2>&1",
                                found, self)
                        .c_str());
    CHECK(WEXITSTATUS(control) == found);
    // R9 as well: memory of one stream that another uses too early.
    for (const char* tool : {"memcheck --track-stream-ordered-races all", "racecheck", "initcheck", "synccheck"}) {
        for (const char* edges : {"0", "1", "37", "301"}) {
            CAPTURE(tool);
            CAPTURE(edges);
            const std::string command = fmt::format(
                "compute-sanitizer --tool {} --error-exitcode {} {} verify {}/examples/specs/sevennet-l3i5.json:1 --target cuda "
                "--orders 0,1,2 --edges {} --nodes 7 >{} 2>&1",
                tool, found, compile, tree, edges, log.string());
            const int status = std::system(command.c_str());
            INFO(read_text(log));
            CHECK(status == 0);
        }
    }
}
