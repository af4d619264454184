#include "runtime/nvrtc.hpp"

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "ir/error.hpp"
#include "runtime/find_cuda.hpp"
#include "runtime/library_identity.hpp"
#include "runtime/options.hpp"
#include "runtime/shared_library.hpp"

namespace fs = std::filesystem;

namespace flashtp {
namespace {

/// Newest first: it knows the most architectures.
constexpr const char* sonames[] = {"libnvrtc.so.13", "libnvrtc.so.12"};

/// Tries places in turn and remembers what each answered.
class Search {
  public:
    bool open(const std::string& name_or_path) {
        std::string error;
        library_ = SharedLibrary::open(name_or_path, error);
        if (!library_) tried_.push_back("  " + error);
        return library_.has_value();
    }
    bool open_in(const fs::path& directory) {
        std::error_code ignored;
        bool present = false;
        for (const char* soname : sonames) {
            if (!fs::exists(directory / soname, ignored)) continue;
            present = true;
            if (open(directory / soname)) return true;
        }
        if (!present) tried_.push_back(fmt::format("  {}: no {}", directory.string(), fmt::join(sonames, ", ")));
        return false;
    }
    bool open_named(const fs::path& path) {
        std::error_code ignored;
        return fs::is_directory(path, ignored) ? open_in(path) : open(path);
    }
    bool open_anywhere() {
        if (std::ranges::any_of(sonames, [&](const char* soname) { return open(soname); })) return true;
        return std::ranges::any_of(nvrtc_directories(), [&](const fs::path& directory) { return open_in(directory); });
    }
    const SharedLibrary& library() const { return *library_; }
    [[noreturn]] void fail() const {
        throw CompileError(fmt::format(
            "NVRTC, which compiles CUDA code, was not found. Install the Python package nvidia-cuda-nvrtc or a CUDA toolkit, or "
            "name the library with {}. Looked here:\n{}",
            environment::nvrtc.name, fmt::join(tried_, "\n")));
    }

  private:
    std::optional<SharedLibrary> library_;
    std::vector<std::string> tried_;
};

/// NVRTC opens its companion by name and finds it on the loader's path only, unless it is in memory already.
void preload_builtins(const fs::path& nvrtc, int major, int minor) {
    std::string error;
    const std::string name = fmt::format("libnvrtc-builtins.so.{}.{}", major, minor);
    std::error_code ignored;
    if (fs::exists(nvrtc.parent_path() / name, ignored)) SharedLibrary::open(nvrtc.parent_path() / name, error);
}

}  // namespace

void Nvrtc::bind(const SharedLibrary& library) {
    library.bind(version_, "nvrtcVersion");
    library.bind(error_string_, "nvrtcGetErrorString");
    library.bind(create_program_, "nvrtcCreateProgram");
    library.bind(destroy_program_, "nvrtcDestroyProgram");
    library.bind(compile_program_, "nvrtcCompileProgram");
    library.bind(log_size_, "nvrtcGetProgramLogSize");
    library.bind(log_, "nvrtcGetProgramLog");
    library.bind(cubin_size_, "nvrtcGetCUBINSize");
    library.bind(cubin_, "nvrtcGetCUBIN");
    library.bind(ptx_size_, "nvrtcGetPTXSize");
    library.bind(ptx_, "nvrtcGetPTX");
    if (!version_ || !error_string_ || !create_program_ || !destroy_program_ || !compile_program_ || !log_size_ || !log_ ||
        !cubin_size_ || !cubin_ || !ptx_size_ || !ptx_)
        throw CompileError("the NVRTC library lacks functions of CUDA 12");
}

std::shared_ptr<const Nvrtc> Nvrtc::load(const fs::path& path) {
    const fs::path named = path.empty() ? value_of(environment::nvrtc).value_or("") : path.string();
    Search search;
    if (!(named.empty() ? search.open_anywhere() : search.open_named(named))) search.fail();

    std::shared_ptr<Nvrtc> nvrtc(new Nvrtc);
    nvrtc->bind(search.library());
    nvrtc->file_ = SharedLibrary::file_of(reinterpret_cast<const void*>(nvrtc->version_));
    nvrtc->check(nvrtc->version_(&nvrtc->major_, &nvrtc->minor_), "nvrtcVersion");
    preload_builtins(nvrtc->file_, nvrtc->major_, nvrtc->minor_);
    nvrtc->identity_ = fmt::format("nvrtc {}.{} {}", nvrtc->major_, nvrtc->minor_, library_identity(nvrtc->file_));
    return nvrtc;
}

void Nvrtc::check(Status status, const char* call) const {
    if (status != 0) throw CompileError(fmt::format("{}: {}", call, error_string_(status)));
}

/// Destroys the program on every way out.
class Nvrtc::ProgramGuard {
  public:
    ProgramGuard(const Nvrtc& nvrtc, const std::string& source, const std::string& name) : nvrtc_(nvrtc) {
        nvrtc.check(nvrtc.create_program_(&program_, source.c_str(), name.c_str(), 0, nullptr, nullptr), "nvrtcCreateProgram");
    }
    ~ProgramGuard() { nvrtc_.destroy_program_(&program_); }
    ProgramGuard(const ProgramGuard&) = delete;
    ProgramGuard& operator=(const ProgramGuard&) = delete;
    Program get() const { return program_; }

  private:
    const Nvrtc& nvrtc_;
    Program program_ = nullptr;
};

std::string Nvrtc::log_of(Program program) const {
    std::size_t size = 0;
    if (log_size_(program, &size) != 0 || size == 0) return {};
    std::string log(size, '\0');
    if (log_(program, log.data()) != 0) return {};
    log.resize(std::char_traits<char>::length(log.c_str()));  // the size counts the final zero
    return log;
}

Nvrtc::Result Nvrtc::compile(const std::string& source, const std::string& name, const std::vector<std::string>& options,
                             Output output) const {
    const ProgramGuard program(*this, source, name);
    std::vector<const char*> texts;
    for (const std::string& option : options) texts.push_back(option.c_str());
    const Status status = compile_program_(program.get(), static_cast<int>(texts.size()), texts.data());
    Result result;
    result.log = log_of(program.get());
    if (status != 0)
        throw CompileError(fmt::format("NVRTC {}.{} refused {} ({}), options {}:\n{}", major_, minor_, name,
                                       error_string_(status), fmt::join(options, " "), result.log));
    const bool cubin = output == Output::cubin;
    std::size_t size = 0;
    check((cubin ? cubin_size_ : ptx_size_)(program.get(), &size), "nvrtc output size");
    result.code.resize(size);
    check((cubin ? cubin_ : ptx_)(program.get(), reinterpret_cast<char*>(result.code.data())), "nvrtc output");
    if (!cubin && !result.code.empty()) result.code.pop_back();  // PTX ends with a zero
    return result;
}

}  // namespace flashtp
