// What a job relies on with a device: captures, forks, several devices. Without a device these cases say SKIPPED.
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <iostream>
#include <thread>

#include <doctest/doctest.h>

#include <fmt/format.h>

#include "ir/error.hpp"
#include "runtime/device.hpp"
#include "runtime/driver.hpp"
#include "runtime/edges.hpp"
#include "runtime/engine.hpp"
#include "runtime/self_check.hpp"
#include "runtime/shared_library.hpp"
#include "tests/runtime/memory_only.hpp"
#include "tests/support/device_or_skip.hpp"

using namespace flashtp;
using namespace flashtp::test;

namespace {

const char* const convolution_json = R"({"irreps_in1": "32x0e+32x1o", "irreps_in2": "0e+1o", "irreps_out": "32x0e+32x1o",
    "instructions": [[0, 0, 0, "uvu", true], [0, 1, 1, "uvu", true], [1, 1, 0, "uvu", true]]})";

/// What this library itself does not need.
struct CaptureApi {
    CudaStatus (*begin)(CudaStream, int);
    CudaStatus (*end)(CudaStream, void**);
    CudaStatus (*instantiate)(void**, void*, unsigned long long);
    CudaStatus (*launch)(void*, CudaStream);
    CudaStatus (*primary_state)(int, unsigned*, int*);
    CudaStatus (*create_context)(CudaContext*, unsigned, int);

    CaptureApi() {
        std::string error;
        const auto driver = SharedLibrary::open("libcuda.so.1", error);
        REQUIRE(driver);
        driver->bind(begin, "cuStreamBeginCapture_v2");
        driver->bind(end, "cuStreamEndCapture");
        driver->bind(instantiate, "cuGraphInstantiateWithFlags");
        driver->bind(launch, "cuGraphLaunch");
        driver->bind(primary_state, "cuDevicePrimaryCtxGetState");
        driver->bind(create_context, "cuCtxCreate_v2");
    }
};

/// Operands of a program in device memory.
struct OnDevice {
    Sample sample;
    ReceiverIndex index;
    std::vector<DeviceBuffer> memory;
    DeviceBuffer row_ptr, sender, edge;

    explicit OnDevice(const Program& program)
        : sample(random_sample(program.problem(), operands_of(program.problem(), program.request()),
                               {.edges = 300, .nodes = 20, .seed = 3})),
          index(receiver_index(sample.graph)), row_ptr(DeviceBuffer::copy_of(std::span<const std::int32_t>(index.row_ptr))),
          sender(DeviceBuffer::copy_of(std::span<const std::int32_t>(index.sender))),
          edge(DeviceBuffer::copy_of(std::span<const std::int32_t>(index.edge))) {
        HostOperands host(program.operands(), sample);
        for (const auto& bytes : host.memory()) memory.push_back(DeviceBuffer::copy_of(std::span<const std::byte>(bytes)));
    }
    std::vector<void*> pointers() const {
        std::vector<void*> pointers;
        for (const DeviceBuffer& buffer : memory) pointers.push_back(buffer.data());
        return pointers;
    }
    GraphView graph() const {
        const auto array = [](const DeviceBuffer& buffer) { return static_cast<const std::int32_t*>(buffer.data()); };
        return {sample.graph.edges, sample.graph.senders, sample.graph.receivers, array(row_ptr), array(sender), array(edge)};
    }
    std::vector<float> output() const {
        std::vector<float> values(memory.back().bytes() / sizeof(float));
        memory.back().download(values.data(), memory.back().bytes());
        return values;
    }
};

std::shared_ptr<Program> compile_for_device(Engine& engine) {
    return engine.compile(parse_problem(convolution_json), {0, {}, {}}, engine.target("cuda"));
}

int device_count() {
    int count = 0;
    Driver::get().device_count(&count);
    return count;
}

}  // namespace

TEST_CASE("R10: a cold program refuses to run inside a capture, which goes on; a warm one is captured and replayed") {
    if (!device_or_skip()) return;
    const CaptureApi api;
    const CurrentContext current;  // graphs are instantiated in it
    Engine engine(memory_only());
    const auto program = compile_for_device(engine);
    const OnDevice data(*program);
    const DeviceStream stream;
    const Driver& driver = Driver::get();
    void *graph = nullptr, *executable = nullptr;
    for (const int mode : {0, 1, 2}) {  // global, thread, relaxed
        CAPTURE(mode);
        const auto cold = Engine(memory_only()).compile(parse_problem(convolution_json), {0, {}, {}}, engine.target("cuda"));
        driver.check(api.begin(stream.get(), mode), "cuStreamBeginCapture");
        CHECK_THROWS_AS(cold->launch_cuda(data.pointers(), data.graph(), stream.get()), NotPreparedError);
        int capturing = 0;
        driver.check(driver.is_capturing(stream.get(), &capturing), "cuStreamIsCapturing");
        CHECK(capturing == 1);
        driver.check(api.end(stream.get(), &graph), "cuStreamEndCapture");
    }
    program->prepare();
    driver.check(api.begin(stream.get(), 0), "cuStreamBeginCapture");
    program->launch_cuda(data.pointers(), data.graph(), stream.get());
    // Another thread may load code meanwhile.
    std::thread([&] {
        Engine(memory_only()).compile(parse_problem(convolution_json), {1, {}, {}}, engine.target("cuda"))->prepare();
    }).join();
    driver.check(api.end(stream.get(), &graph), "cuStreamEndCapture");
    driver.check(api.instantiate(&executable, graph, 0), "cuGraphInstantiate");
    driver.check(api.launch(executable, stream.get()), "cuGraphLaunch");
    stream.synchronize();
    const std::vector<float> first = data.output();
    CHECK(self_check(*program, 1).empty());
    int different = 0;
    for (int i = 0; i < 1000; ++i) {
        driver.check(api.launch(executable, stream.get()), "cuGraphLaunch");
        stream.synchronize();
        const std::vector<float> now = data.output();
        for (std::size_t k = 0; k < now.size(); ++k) different += std::abs(now[k] - first[k]) > 1e-4f * (1 + std::abs(first[k]));
    }
    CHECK(different == 0);
}

TEST_CASE("R5: a child of a process that used CUDA is told so, and computes on the CPU") {
    if (!device_or_skip()) return;
    Engine engine(memory_only());
    const auto program = compile_for_device(engine);
    CHECK(self_check(*program, 1).empty());
    const pid_t child = ::fork();
    if (child == 0) {
        ::alarm(60);
        bool forked = false;
        try {
            program->prepare();
        } catch (const ForkedError&) {
            forked = true;
        }
        const auto on_cpu = engine.compile(parse_problem(convolution_json), {0, {}, {}}, engine.target("cpu"));
        ::_exit(forked && self_check(*on_cpu, 2).empty() ? 0 : 1);
    }
    int status = 1;
    ::waitpid(child, &status, 0);
    CHECK(status == 0);
}

TEST_CASE("R8: two devices and eight threads of one process") {
    if (!device_or_skip()) return;
    if (device_count() < 2) {
        std::cout << "SKIPPED: there is one CUDA device, this needs two" << std::endl;
        return;
    }
    Engine engine(memory_only());
    const Driver& driver = Driver::get();
    std::atomic<int> wrong{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < 8; ++t) {
        threads.emplace_back([&, t] {
            CudaContext context = nullptr;
            driver.check(driver.retain_primary(&context, t % 2), "cuDevicePrimaryCtxRetain");
            {
                const CurrentContext current(context);
                const auto program = compile_for_device(engine);
                for (int i = 0; i < 20; ++i) wrong += !self_check(*program, 1).empty();
            }
            driver.release_primary(t % 2);
        });
    }
    for (std::thread& thread : threads) thread.join();
    CHECK(wrong == 0);
}

TEST_CASE("R7: a device that the caller did not choose stays asleep, and the caller's context stays current") {
    if (!device_or_skip()) return;
    if (device_count() < 2) {
        std::cout << "SKIPPED: there is one CUDA device, this needs two" << std::endl;
        return;
    }
    // A process of its own: other cases wake both devices.
    char self[4096] = "";
    REQUIRE(::readlink("/proc/self/exe", self, sizeof self - 1) > 0);
    CHECK(std::system(fmt::format("{} --test-case='R7: child*' --no-skip >/dev/null", self).c_str()) == 0);
}

namespace {

/// The program is loaded and launched, with right results, and leaves the thread's context as it was.
void check_in(CudaContext context) {
    const Driver& driver = Driver::get();
    CudaContext now = nullptr;
    if (context) driver.check(driver.push_context(context), "cuCtxPushCurrent");
    Engine engine(memory_only());
    CHECK(self_check(*compile_for_device(engine), 1).empty());
    driver.check(driver.current_context(&now), "cuCtxGetCurrent");
    CHECK(now == context);
    if (context) driver.check(driver.pop_context(&now), "cuCtxPopCurrent");
}

void check_in_every_thread(CudaContext context) {
    check_in(context);
    std::thread(check_in, context).join();
}

}  // namespace

TEST_CASE("R7: child: every context, in the main thread and in a new one" * doctest::skip()) {
    const CaptureApi api;
    const Driver& driver = Driver::get();
    const auto first_is_active = [&] {
        unsigned flags = 0;
        int active = -1;
        driver.check(api.primary_state(0, &flags, &active), "cuDevicePrimaryCtxGetState");
        return active != 0;
    };
    CudaContext primary = nullptr, own = nullptr, first = nullptr;
    driver.check(driver.retain_primary(&primary, 1), "cuDevicePrimaryCtxRetain");
    check_in_every_thread(primary);
    driver.check(api.create_context(&own, 0, 1), "cuCtxCreate");
    driver.check(driver.pop_context(&own), "cuCtxPopCurrent");
    check_in_every_thread(own);
    CHECK_FALSE(first_is_active());
    // Without a context programs run on the first device.
    check_in_every_thread(nullptr);
    CHECK(first_is_active());
    driver.check(driver.retain_primary(&first, 0), "cuDevicePrimaryCtxRetain");
    // One program where it is loaded in one device's context and launched in the other's.
    Engine engine(memory_only());
    driver.check(driver.push_context(primary), "cuCtxPushCurrent");
    const auto program = compile_for_device(engine);
    program->prepare();
    CHECK(self_check(*program, 1).empty());
    driver.check(driver.push_context(first), "cuCtxPushCurrent");
    CHECK(self_check(*program, 1).empty());
}
