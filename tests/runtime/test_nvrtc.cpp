// What needs NVRTC but no device. `tools/test` installs NVRTC into build/venv; without it these cases say SKIPPED.
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>

#include <doctest/doctest.h>

#include "codegen/emit_c.hpp"
#include "compiler/choose_schedule.hpp"
#include "compiler/pipeline.hpp"
#include "ir/error.hpp"
#include "runtime/backend_cuda.hpp"
#include "runtime/find_cuda.hpp"
#include "runtime/library_identity.hpp"
#include "runtime/nvrtc.hpp"
#include "tests/codegen/sample_kernels.hpp"
#include "tests/support/radial_layers.hpp"

using namespace flashtp;
using namespace flashtp::test;
namespace fs = std::filesystem;

namespace {

std::shared_ptr<const Nvrtc> nvrtc_or_skip() {
    try {
        return Nvrtc::load();
    } catch (const CompileError& error) {
        std::cout << "SKIPPED: " << error.what() << std::endl;
        return nullptr;
    }
}

std::string message_of(auto&& call) {
    try {
        call();
    } catch (const CompileError& error) {
        return error.what();
    }
    return "(no error)";
}

}  // namespace

TEST_CASE("nvrtc: products of tiles and of edges compile at every order") {
    if (!nvrtc_or_skip()) return;
    const auto backend = make_cuda_backend();
    for (const auto& [order, tile_edges] : {std::pair{0, 16}, {0, 1024}, {1, 1024}, {2, 1024}}) {
        const Target target = cuda_target("sm_90a");
        const Request request{order, {}, {}};
        LoweringOptions options{.schedule = {}, .factoring = {}, .knobs = default_knobs(target, request, DType::float32), .general = false, .tuned = {}};
        options.knobs->tile_edges = tile_edges;
        for (const Kernel& kernel : lower(radial_layer(24, true), request, target, options).kernels)
            CHECK_MESSAGE(backend->compile(kernel, backend->source(kernel)).code.size() > 1000, kernel.name);
    }
}

TEST_CASE("nvrtc: every construct compiles for every architecture, without spills") {
    if (!nvrtc_or_skip()) return;
    const auto backend = make_cuda_backend();
    for (const char* target : {"sm_80", "sm_86", "sm_89", "sm_90", "sm_90a", "sm_100", "sm_120"}) {
        for (const DType dtype : {DType::float32, DType::float64}) {
            CAPTURE(target);
            const Kernel kernel = every_construct(target, dtype);
            const Artifact artifact = backend->compile(kernel, backend->source(kernel));
            CHECK(artifact.kernel_name == kernel.name);
            CHECK(artifact.target == target);
            CHECK(artifact.code.size() > 1000);
            CHECK(artifact.registers >= 32);
            CHECK(artifact.registers <= 96);
            CHECK(artifact.spill_bytes == 0);
            CHECK(artifact.shared_bytes == shared_bytes(kernel));
            CHECK(artifact.log == "");
            CHECK(artifact.seconds > 0);
        }
    }
}

TEST_CASE("nvrtc: the same source gives the same code") {
    if (!nvrtc_or_skip()) return;
    const auto backend = make_cuda_backend();
    const Kernel kernel = scaled_rows("sm_90a");
    const std::string source = backend->source(kernel);
    CHECK(backend->compile(kernel, source).code == backend->compile(kernel, source).code);
}

TEST_CASE("nvrtc: copies in groups and plain copies compile for new architectures as well") {
    if (!nvrtc_or_skip()) return;
    const auto backend = make_cuda_backend();
    for (const CopyMechanism copy : {CopyMechanism::groups, CopyMechanism::plain}) {
        const Kernel kernel = every_construct("sm_90a", DType::float32, copy);
        verify(kernel);
        CHECK(backend->compile(kernel, backend->source(kernel)).spill_bytes == 0);
    }
}

TEST_CASE("nvrtc: a refused source carries the compiler's log") {
    if (!nvrtc_or_skip()) return;
    const auto backend = make_cuda_backend();
    const std::string message = message_of([&] { backend->compile(scaled_rows("sm_90a"), "int broken = ;"); });
    CHECK(message.find("scaled_rows") != std::string::npos);
    CHECK(message.find("expected an expression") != std::string::npos);
}

TEST_CASE("nvrtc: PTX, and the identity of the toolchain") {
    const auto nvrtc = nvrtc_or_skip();
    if (!nvrtc) return;
    const auto backend = make_cuda_backend();
    const Kernel kernel = scaled_rows("sm_90a");
    const std::string ptx = compile_to_ptx(kernel, backend->source(kernel));
    CHECK(ptx.find(".target sm_90a") != std::string::npos);
    CHECK(ptx.find(".entry scaled_rows") != std::string::npos);

    const std::string identity = backend->identity(kernel.target);
    CHECK(identity.find("nvrtc " + std::to_string(nvrtc->major()) + ".") != std::string::npos);
    const bool by_content = identity.find("build-id:") != std::string::npos || identity.find("sha256:") != std::string::npos;
    CHECK(by_content);
    CHECK(identity.find(nvrtc->file().parent_path().string()) == std::string::npos);
    CHECK(identity == make_cuda_backend(nvrtc->file())->identity(kernel.target));
}

TEST_CASE("nvrtc: machine code as text, where a disassembler is installed") {
    if (!nvrtc_or_skip()) return;
    const auto backend = make_cuda_backend();
    const Kernel kernel = scaled_rows("sm_90a");
    const Artifact artifact = backend->compile(kernel, backend->source(kernel));
    if (find_cuda_tool("nvdisasm").empty() && find_cuda_tool("cuobjdump").empty()) {
        CHECK(message_of([&] { disassemble_cubin(artifact); }).find("nvidia-cuda-nvdisasm") != std::string::npos);
        return;
    }
    CHECK(disassemble_cubin(artifact).find("FFMA") != std::string::npos);
}

TEST_CASE("nvrtc: a library that is not there is an error that names the place") {
    const std::string message = message_of([] { Nvrtc::load("/nowhere/libnvrtc.so.13"); });
    CHECK(message.find("/nowhere/libnvrtc.so.13") != std::string::npos);
    CHECK(message.find("FLASHTP_NVRTC") != std::string::npos);
    const std::string directory = message_of([] { Nvrtc::load("/"); });
    CHECK(directory.find("no libnvrtc.so.13") != std::string::npos);
}

TEST_CASE("ptxas log: registers, stack, and the warnings that remain") {
    const PtxasReport report =
        parse_ptxas_log("k.cu(7): warning #1: something\n"
                        "ptxas info    : 128 bytes gmem\n"
                        "ptxas info    : Compiling entry function 'k' for 'sm_90a'\n"
                        "ptxas         .     48 bytes stack frame, 44 bytes spill stores, 40 bytes spill loads\n"
                        "ptxas info    : Used 255 registers, used 1 barriers, 464 bytes cmem[0]\n"
                        "ptxas warning : odd\n");
    CHECK(report.registers == 255);
    CHECK(report.stack_bytes == 48);
    CHECK(report.spill_stores == 44);
    CHECK(report.spill_loads == 40);
    CHECK(report.warnings == "k.cu(7): warning #1: something\nptxas warning : odd\n");
    CHECK(parse_ptxas_log("").registers == 0);
}

TEST_CASE("library identity: the build id, else the content, never the path") {
    const fs::path path = fs::temp_directory_path() / "flashtp-identity-test";
    std::ofstream(path) << "abc";
    // FIPS 180-2, appendix B.1
    CHECK(library_identity(path) == "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    fs::remove(path);
    CHECK_THROWS_AS(library_identity(path), CompileError);
}
