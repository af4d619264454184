// Machine code as text: runs a disassembler of a CUDA toolkit on a temporary file.
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "ir/error.hpp"
#include "runtime/backend_cuda.hpp"
#include "runtime/find_cuda.hpp"

extern char** environ;

namespace flashtp {
namespace {

/// A file that only this user can read, gone at the end of the scope.
class TemporaryFile {
  public:
    explicit TemporaryFile(const std::vector<std::uint8_t>& content) {
        path_ = (std::filesystem::temp_directory_path() / "flashtp-XXXXXX").string();
        const int file = ::mkstemp(path_.data());
        if (file < 0) throw CompileError("cannot create a temporary file beside " + path_);
        std::size_t done = 0;
        while (done < content.size()) {
            const ssize_t n = ::write(file, content.data() + done, content.size() - done);
            if (n <= 0) break;
            done += static_cast<std::size_t>(n);
        }
        ::close(file);
        if (done < content.size()) {
            ::unlink(path_.c_str());
            throw CompileError("cannot write the temporary file " + path_);
        }
    }
    ~TemporaryFile() { ::unlink(path_.c_str()); }
    TemporaryFile(const TemporaryFile&) = delete;
    TemporaryFile& operator=(const TemporaryFile&) = delete;
    const std::string& path() const { return path_; }

  private:
    std::string path_;
};

std::string read_all(int file) {
    std::string text;
    char block[65536];
    for (ssize_t n; (n = ::read(file, block, sizeof block)) > 0;) text.append(block, static_cast<std::size_t>(n));
    return text;
}

/// The program's output, errors included. Throws CompileError with it when the program fails.
std::string output_of(std::vector<std::string> command) {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) throw CompileError("cannot create a pipe");
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDERR_FILENO);
    std::vector<char*> words;
    for (std::string& word : command) words.push_back(word.data());
    words.push_back(nullptr);
    pid_t child = 0;
    const int error = ::posix_spawn(&child, words[0], &actions, nullptr, words.data(), environ);
    posix_spawn_file_actions_destroy(&actions);
    ::close(ends[1]);
    std::string text = error == 0 ? read_all(ends[0]) : "";
    ::close(ends[0]);
    int status = 0;
    if (error != 0 || ::waitpid(child, &status, 0) != child || status != 0)
        throw CompileError(fmt::format("{} failed:\n{}", command[0], text));
    return text;
}

}  // namespace

std::string disassemble_cubin(const Artifact& artifact) {
    const auto nvdisasm = find_cuda_tool("nvdisasm"), cuobjdump = find_cuda_tool("cuobjdump");
    if (nvdisasm.empty() && cuobjdump.empty())
        throw CompileError(
            "machine code is printed by nvdisasm or cuobjdump; neither is in PATH, in a CUDA toolkit or in the Python "
            "packages nvidia-cuda-nvdisasm and nvidia-cuda-cuobjdump");
    const TemporaryFile file(artifact.code);
    if (!nvdisasm.empty()) return output_of({nvdisasm, "--print-code", file.path()});
    return output_of({cuobjdump, "--dump-sass", file.path()});
}

}  // namespace flashtp
