#include "runtime/backend_llvm.hpp"

#include <dlfcn.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <mutex>
#include <utility>

#include "codegen/emit_llvm.hpp"
#include "ir/error.hpp"
#include "runtime/llvm/plugin.h"
#include "runtime/options.hpp"
#include "runtime/per_process.hpp"
#include "runtime/shared_library.hpp"

namespace flashtp {
namespace {

using Api = flashtp_llvm_api;
constexpr const char* plugin_name = "libflashtp_llvm.so";

// The plug-in

/// Where the plug-in may be, in order: a library lies beside ours, a program in bin/ reaches the library directory.
std::vector<std::string> candidates() {
    if (const auto path = value_of(environment::llvm_plugin)) return {*path};
    std::vector<std::string> paths;
    const std::filesystem::path here = SharedLibrary::file_of(reinterpret_cast<const void*>(&candidates)).parent_path();
    if (!here.empty()) {
        paths.push_back((here / plugin_name).string());
#ifdef FLASHTP_LIBDIR_FROM_BINDIR
        paths.push_back((here / FLASHTP_LIBDIR_FROM_BINDIR / plugin_name).lexically_normal().string());
#endif
        paths.push_back((here / "../lib" / plugin_name).lexically_normal().string());
    }
    paths.emplace_back(plugin_name);
    return paths;
}

const Api* open_plugin(const std::string& path, std::string& problems) {
    const auto refuse = [&](std::string_view why) {
        problems += fmt::format("\n  {}: {}", path, why);
        return nullptr;
    };
    void* const library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (!library) return refuse(dlerror());
    // Never closed: code that it linked may run until the process ends.
    const auto entry = reinterpret_cast<const Api* (*)()>(dlsym(library, "flashtp_llvm_plugin"));
    if (!entry) return refuse("it has no flashtp_llvm_plugin");
    const Api* const api = entry();
    if (api->abi != FLASHTP_LLVM_ABI)
        return refuse(fmt::format("its interface has version {}, not {}", api->abi, FLASHTP_LLVM_ABI));
    return api;
}

const Api& plugin() {
    struct Opened {
        std::mutex mutex;
        const Api* api = nullptr;
    };
    static const auto* const opened = new PerProcess<Opened>;
    auto& [mutex, api] = opened->get();
    const std::lock_guard lock(mutex);
    if (api) return *api;
    std::string problems;
    for (const std::string& path : candidates())
        if ((api = open_plugin(path, problems))) return *api;
    throw CompileError(fmt::format("CPU kernels need {}, which could not be loaded (set {} to its path):{}", plugin_name,
                                   environment::llvm_plugin.name, problems));
}

/// A text that the plug-in filled.
class Text {
  public:
    explicit Text(const Api& api) : api_(api) {}
    ~Text() { api_.release(&text_); }
    Text(const Text&) = delete;
    Text& operator=(const Text&) = delete;
    flashtp_llvm_text* out() { return &text_; }
    std::string_view view() const { return {text_.data ? text_.data : "", text_.size}; }

  private:
    const Api& api_;
    flashtp_llvm_text text_{};
};

std::string joined(const std::vector<std::string>& parts) { return fmt::format("{}", fmt::join(parts, ",")); }

std::vector<std::string> split(std::string_view text) {
    std::vector<std::string> parts;
    while (!text.empty()) {
        const std::size_t end = std::min(text.find(','), text.size());
        parts.emplace_back(text.substr(0, end));
        text.remove_prefix(std::min(end + 1, text.size()));
    }
    return parts;
}

void check(int status, const Text& error, std::string_view kernel, std::string_view what) {
    if (status != 0) throw CompileError(fmt::format("LLVM could not {} kernel {}: {}", what, kernel, error.view()));
}

struct Output {
    std::string code, log;
};

Output run_compiler(const Kernel& kernel, const std::string& source, bool assembly) {
    const Api& api = plugin();
    const std::string features = joined(kernel.target.features);
    const flashtp_llvm_source request = {source.data(),    source.size(), kernel.target.triple.c_str(), kernel.target.cpu.c_str(),
                                         features.c_str(), assembly};
    Text code(api), log(api), error(api);
    check(api.compile(&request, code.out(), log.out(), error.out()), error, kernel.name, "compile");
    return {std::string(code.view()), std::string(log.view())};
}

// The interface

class LlvmModule : public Module {
  public:
    LlvmModule(const std::string& name, const Artifact& artifact) : api_(plugin()) {
        void* address = nullptr;
        Text error(api_);
        check(api_.load(artifact.code.data(), artifact.code.size(), name.c_str(), &loaded_, &address, error.out()), error, name,
              "load");
        entry_ = reinterpret_cast<Entry*>(address);
    }
    ~LlvmModule() override { api_.unload(loaded_); }
    LlvmModule(const LlvmModule&) = delete;
    LlvmModule& operator=(const LlvmModule&) = delete;

    void launch(const LaunchArguments& arguments, std::int64_t row_begin, std::int64_t row_end) const override {
        if (row_begin < row_end) entry_(arguments.buffers.data(), row_begin, row_end);
    }

  private:
    using Entry = void(void* const* buffers, std::int64_t row_begin, std::int64_t row_end);
    const Api& api_;
    flashtp_llvm_loaded* loaded_ = nullptr;
    Entry* entry_ = nullptr;
};

class LlvmBackend : public Backend {
  public:
    std::string identity(const Target&) override { return plugin().identity; }
    std::string compiler() override { return SharedLibrary::file_of(reinterpret_cast<const void*>(plugin().compile)); }
    std::string source(const Kernel& kernel) override { return emit_llvm(kernel); }

    Artifact compile(const Kernel& kernel, const std::string& source) override {
        const auto start = std::chrono::steady_clock::now();
        const Output output = run_compiler(kernel, source, false);
        Artifact artifact;
        artifact.kernel_name = kernel.name;
        artifact.target = kernel.target.name;
        artifact.code.assign(output.code.begin(), output.code.end());
        artifact.log = output.log;
        artifact.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
        return artifact;
    }

    std::unique_ptr<Module> load(const KernelFacts& kernel, const Artifact& artifact) override {
        return std::make_unique<LlvmModule>(kernel.name, artifact);
    }
};

}  // namespace

std::unique_ptr<Backend> make_llvm_backend() { return std::make_unique<LlvmBackend>(); }

Target host_cpu_target() {
    const Api& api = plugin();
    flashtp_llvm_host host{};
    Text error(api);
    const int status = api.host(&host, error.out());
    if (status == 0) {
        Target target;
        target.platform = Platform::cpu;
        target.name = "cpu";
        target.triple = host.triple.data;
        target.cpu = host.cpu.data;
        target.features = split(host.features.data);
        target.vector_bits = host.vector_bits;
        target.registers_per_lane = host.vector_registers;
        target.lanes = lanes_of(target, sizeof(float));
        for (flashtp_llvm_text* text : {&host.triple, &host.cpu, &host.features}) api.release(text);
        return target;
    }
    throw CompileError(fmt::format("LLVM could not describe this processor: {}", error.view()));
}

std::vector<std::string> missing_features(const Target& target) {
    const std::vector<std::string> here = host_cpu_target().features;
    std::vector<std::string> missing;
    for (const std::string& feature : target.features)
        if (feature.starts_with('+') && std::ranges::find(here, feature) == here.end()) missing.push_back(feature.substr(1));
    return missing;
}

std::string llvm_assembly(const Kernel& kernel, const std::string& source) { return run_compiler(kernel, source, true).code; }

}  // namespace flashtp
