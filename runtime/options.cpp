#include "runtime/options.hpp"

#include <pwd.h>
#include <sched.h>
#include <stdlib.h>
#include <unistd.h>

#include <charconv>
#include <thread>

#include "ir/error.hpp"

namespace flashtp {
namespace {

constexpr int max_threads = 1024;

int usable_cores() {
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) return std::max(1, CPU_COUNT(&set));
    return std::max(1u, std::thread::hardware_concurrency());
}

/// Where this user's files are: HOME, else the password database (services run without HOME).
std::filesystem::path home_directory() {
    if (const char* home = secure_getenv("HOME"); home && *home == '/') return home;
    passwd entry{};
    passwd* found = nullptr;
    char buffer[4096];
    if (getpwuid_r(geteuid(), &entry, buffer, sizeof buffer, &found) != 0 || !found || !found->pw_dir) return {};
    return *found->pw_dir == '/' ? found->pw_dir : "";
}

}  // namespace

std::optional<std::string> value_of(const EnvironmentVariable& variable) {
    const char* value = secure_getenv(std::string(variable.name).c_str());
    if (!value || !*value) return std::nullopt;
    return value;
}

std::string environment_markdown() {
    std::string text =
        "# Environment variables\n\n"
        "Generated from the table in `runtime/options.hpp` by `flashtp-compile version --environment`; do not edit.\n"
        "An empty value counts as unset. Programs that run with more rights than their user (setuid) ignore them all.\n\n"
        "| variable | when unset | meaning |\n|---|---|---|\n";
    for (const EnvironmentVariable& v : environment::all) {
        text += fmt::format("| `{}` | {} | {} |\n", v.name, v.unset, v.what);
    }
    return text;
}

std::filesystem::path default_cache_directory() {
    if (value_of(environment::cache) == "off") return {};
    if (const auto directory = value_of(environment::cache_dir)) {
        // A relative path would make whatever directory a job starts in a source of code.
        if (directory->front() != '/') {
            user_error("{} is \"{}\"; it must be an absolute path", environment::cache_dir.name, *directory);
        }
        return *directory;
    }
    if (const char* cache = secure_getenv("XDG_CACHE_HOME"); cache && *cache == '/') {
        return std::filesystem::path(cache) / "flashtp";
    }
    const std::filesystem::path home = home_directory();
    return home.empty() ? home : home / ".cache" / "flashtp";
}

int default_threads() {
    const auto text = value_of(environment::num_threads);
    if (!text) return usable_cores();
    int threads = 0;
    const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), threads);
    if (error != std::errc() || end != text->data() + text->size() || threads < 1 || threads > max_threads) {
        user_error("{} is \"{}\"; it must be a number from 1 to {}", environment::num_threads.name, *text, max_threads);
    }
    return threads;
}

}  // namespace flashtp
