#include "runtime/compile_helper.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <map>
#include <utility>

#include "ir/error.hpp"
#include "runtime/backend_cuda.hpp"
#include "runtime/backend_llvm.hpp"
#include "runtime/cache/binary.hpp"
#include "runtime/cache/entry.hpp"
#include "runtime/cache/files.hpp"
#include "runtime/cache/key.hpp"
#include "runtime/options.hpp"
#include "runtime/shared_library.hpp"

extern char** environ;

namespace flashtp {
namespace {

using Clock = std::chrono::steady_clock;
using Fields = std::map<std::string, std::string>;
constexpr const char* helper_name = "flashtp-compile";

// What is said, both ways, is text of tagged fields.

std::string message_of(const Fields& fields) {
    Key key;
    for (const auto& [tag, value] : fields) key.add(tag, value);
    return key.text();
}

Fields fields_of(std::string_view message) {
    Fields fields;
    for (KeyField& field : key_fields(message)) fields[field.tag] = std::move(field.value);
    return fields;
}

std::string joined_features(const Target& target) {
    std::string text;
    for (const std::string& feature : target.features) text += feature + ",";
    return text;
}

std::vector<std::string> split_features(std::string_view text) {
    std::vector<std::string> features;
    for (std::size_t end; (end = text.find(',')) != text.npos; text.remove_prefix(end + 1))
        features.emplace_back(text.substr(0, end));
    return features;
}

std::string job_message(const HelperJob& job) {
    const Target& target = job.kernel.target;
    return message_of({{"compiler", job.compiler},
                       {"identity", job.identity},
                       {"platform", target.platform == Platform::cuda ? "cuda" : "cpu"},
                       {"target", target.name},
                       {"triple", target.triple},
                       {"cpu", target.cpu},
                       {"features", joined_features(target)},
                       {"kernel", job.kernel.name},
                       {"source", job.source}});
}

// The process

/// A helper that runs; it is ended, if need be, and waited for on every way out.
class HelperProcess {
  public:
    explicit HelperProcess(const std::filesystem::path& helper, std::uint64_t bytes, int& error) {
        int ends[2];
        if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
            error = errno;
            return;
        }
        socket_ = File(ends[0]);
        const File theirs(ends[1]);
        error = spawn(helper, theirs.get(), std::to_string(bytes));
    }
    ~HelperProcess() { wait(true); }
    HelperProcess(const HelperProcess&) = delete;
    HelperProcess& operator=(const HelperProcess&) = delete;

    /// False when the helper stopped listening, which its answer or its end explains.
    bool send(std::string_view message, Clock::time_point deadline) {
        while (!message.empty()) {
            if (!ready(POLLOUT, deadline)) return false;
            const ssize_t sent = ::send(socket_.get(), message.data(), message.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
            if (sent < 0 && errno != EINTR && errno != EAGAIN) return false;
            if (sent > 0) message.remove_prefix(static_cast<std::size_t>(sent));
        }
        return ::shutdown(socket_.get(), SHUT_WR) == 0;
    }
    /// Everything until the helper closes its end. False when the time was up before.
    bool receive(std::string& answer, Clock::time_point deadline) {
        char part[65536];
        while (ready(POLLIN, deadline)) {
            const ssize_t got = ::recv(socket_.get(), part, sizeof part, MSG_DONTWAIT);
            if (got == 0 || (got < 0 && errno == ECONNRESET)) return true;
            if (got > 0) answer.append(part, static_cast<std::size_t>(got));
        }
        return false;
    }
    struct End {
        int signal = 0, code = 0;
    };
    /// How it ended.
    End wait(bool end) {
        if (process_ <= 0) return {};
        if (end) ::kill(process_, SIGKILL);
        int status = 0;
        pid_t waited;
        do waited = ::waitpid(process_, &status, 0);
        while (waited < 0 && errno == EINTR);
        process_ = -1;
        // A program that reaps all its children may have been quicker.
        if (waited < 0) return {};
        return {WIFSIGNALED(status) ? WTERMSIG(status) : 0, WIFEXITED(status) ? WEXITSTATUS(status) : 0};
    }

  private:
    int spawn(const std::filesystem::path& helper, int descriptor, std::string bytes) {
        posix_spawn_file_actions_t actions;
        posix_spawnattr_t attributes;
        ::posix_spawn_file_actions_init(&actions);
        ::posix_spawnattr_init(&attributes);
        ::posix_spawn_file_actions_adddup2(&actions, descriptor, STDIN_FILENO);
        ::posix_spawn_file_actions_adddup2(&actions, descriptor, STDOUT_FILENO);
        ::posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
        ::posix_spawn_file_actions_addclosefrom_np(&actions, STDERR_FILENO + 1);
        sigset_t none, all;
        ::sigemptyset(&none);
        ::sigfillset(&all);
        ::posix_spawnattr_setsigmask(&attributes, &none);
        ::posix_spawnattr_setsigdefault(&attributes, &all);
        ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
        char name[] = "flashtp-compile", command[] = "serve";
        char* const arguments[] = {name, command, bytes.data(), nullptr};
        const int error = ::posix_spawn(&process_, helper.c_str(), &actions, &attributes, arguments, environ);
        if (error) process_ = -1;
        ::posix_spawnattr_destroy(&attributes);
        ::posix_spawn_file_actions_destroy(&actions);
        return error;
    }
    bool ready(short events, Clock::time_point deadline) {
        for (;;) {
            const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
            pollfd wanted{socket_.get(), events, 0};
            const int count = left > 0 ? ::poll(&wanted, 1, static_cast<int>(std::min<std::int64_t>(left, 1 << 30))) : 0;
            if (count > 0) return true;
            if (count == 0 || errno != EINTR) return false;
        }
    }

    File socket_;
    pid_t process_ = -1;
};

[[noreturn]] void refuse(const HelperJob& job, const std::string& why) {
    throw CompileError(fmt::format("compiling {} ({} bytes of source) {}", job.kernel.name, job.source.size(), why));
}

Artifact artifact_of(const HelperJob& job, const std::string& answer) {
    Artifact artifact = parse_entry(bytes_of(answer)).artifact();
    artifact.shared_bytes = job.kernel.target.platform == Platform::cuda ? shared_bytes(job.kernel) : 0;
    return artifact;
}

}  // namespace

std::filesystem::path find_compile_helper() {
    if (const auto given = value_of(environment::compile_helper)) return *given == "off" ? "" : *given;
    const std::filesystem::path here = SharedLibrary::file_of(reinterpret_cast<const void*>(&find_compile_helper)).parent_path();
    for (const auto& place : {here / helper_name, here / "../bin" / helper_name}) {
        if (!here.empty() && ::access(place.c_str(), X_OK) == 0) return place.lexically_normal();
    }
    return {};
}

std::optional<Artifact> compile_in_helper(const std::filesystem::path& helper, const HelperJob& job, const CompileLimits& limits,
                                          std::string& why) {
    const auto start = Clock::now(), deadline = start + std::chrono::seconds(limits.seconds);
    int error = 0;
    HelperProcess process(helper, limits.bytes, error);
    if (error) {
        why = fmt::format("{}: {}", helper.string(), std::strerror(error));
        return std::nullopt;
    }
    std::string answer;
    process.send(job_message(job), deadline);
    if (!process.receive(answer, deadline))
        refuse(job, fmt::format("took longer than {} s and was ended ({})", limits.seconds, environment::compile_seconds.name));
    const auto [signal, code] = process.wait(false);
    try {
        const Fields fields = fields_of(answer);
        if (const auto failed = fields.find("failed"); failed != fields.end()) throw CompileError(failed->second);
        if (const auto other = fields.find("other-compiler"); other != fields.end()) {
            why = fmt::format("{} has another compiler: {}", helper.string(), other->second);
            return std::nullopt;
        }
        Artifact artifact = artifact_of(job, fields.contains("code") ? fields.at("code") : "");
        artifact.seconds = std::chrono::duration<double>(Clock::now() - start).count();
        return artifact;
    } catch (const UserError&) {
        if (signal == 0 && code == 0) {
            why = fmt::format("{} gives answers of another version", helper.string());
            return std::nullopt;
        }
        refuse(job,
               fmt::format("failed: the compiler's process ended with {} {}; it may use {} bytes ({})",
                           signal ? "signal" : "code", signal ? signal : code, limits.bytes, environment::compile_bytes.name));
    }
}

// The helper's side

namespace {

std::string read_all_input() {
    std::string text;
    char part[65536];
    for (;;) {
        const ssize_t got = ::read(STDIN_FILENO, part, sizeof part);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return text;
        text.append(part, static_cast<std::size_t>(got));
    }
}

bool write_output(std::string_view text) {
    while (!text.empty()) {
        const ssize_t put = ::write(STDOUT_FILENO, text.data(), text.size());
        if (put < 0 && errno != EINTR) return false;
        if (put > 0) text.remove_prefix(static_cast<std::size_t>(put));
    }
    return true;
}

Fields answer_to(Fields job) {
    Kernel kernel;
    kernel.name = job["kernel"];
    Target& target = kernel.target;
    target.platform = job["platform"] == "cuda" ? Platform::cuda : Platform::cpu;
    target.name = job["target"];
    target.triple = job["triple"];
    target.cpu = job["cpu"];
    target.features = split_features(job["features"]);
    const bool cuda = target.platform == Platform::cuda;
    if (!cuda) ::setenv(std::string(environment::llvm_plugin.name).c_str(), job["compiler"].c_str(), 1);
    const auto backend = cuda ? make_cuda_backend(job["compiler"]) : make_llvm_backend();
    const std::string identity = backend->identity(target);
    if (identity != job["identity"]) return {{"other-compiler", identity}};
    const auto bytes = to_bytes({identity, backend->compile(kernel, job["source"])});
    return {{"code", std::string(text_of(bytes))}};
}

void limit_address_space([[maybe_unused]] std::uint64_t bytes) {
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // which reserve terabytes
    const rlimit limit{bytes, bytes};
    ::setrlimit(RLIMIT_AS, &limit);
#endif
}

}  // namespace

int serve_compile(std::uint64_t address_space_bytes) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);  // a compilation is of no use to anybody once its caller is gone
    limit_address_space(address_space_bytes);
    Fields answer;
    try {
        answer = answer_to(fields_of(read_all_input()));
    } catch (const std::bad_alloc&) {
        return 1;  // the caller says what the limit was
    } catch (const std::exception& error) {
        answer = {{"failed", error.what()}};
    }
    return write_output(message_of(answer)) ? 0 : 1;
}

}  // namespace flashtp
