#include "runtime/options.hpp"

#include <pwd.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/auxv.h>
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
    if (value_of(environment::cache) == "off" || getauxval(AT_SECURE)) return {};
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

std::vector<std::filesystem::path> parse_cache_path(std::string_view text) {
    std::vector<std::filesystem::path> paths;
    while (!text.empty()) {
        const std::string_view path = text.substr(0, text.find(':'));
        text.remove_prefix(std::min(path.size() + 1, text.size()));
        if (path.empty()) continue;
        if (path.front() != '/') user_error("{}: \"{}\" must be an absolute path", environment::cache_path.name, path);
        paths.emplace_back(path);
    }
    return paths;
}

bool flag_of(const EnvironmentVariable& variable) {
    const std::string text = value_of(variable).value_or("0");
    if (text == "1" || text == "on") return true;
    if (text == "0" || text == "off") return false;
    user_error("{} is \"{}\"; it must be 1 or 0", variable.name, text);
}

std::uint64_t number_of(const EnvironmentVariable& variable, std::uint64_t otherwise, std::uint64_t least) {
    const auto text = value_of(variable);
    if (!text) return otherwise;
    std::uint64_t number = 0;
    const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), number);
    if (error != std::errc() || end != text->data() + text->size() || number < least) {
        user_error("{} is \"{}\"; it must be a whole number of at least {}", variable.name, *text, least);
    }
    return number;
}

namespace {

std::vector<uid_t> trusted_users() {
    std::vector<uid_t> users;
    const std::string text = value_of(environment::cache_trusted_uids).value_or("");
    for (std::size_t begin = 0; begin < text.size();) {
        const std::size_t end = std::min(text.find(',', begin), text.size());
        uid_t user = 0;
        const auto [stop, error] = std::from_chars(text.data() + begin, text.data() + end, user);
        if (error != std::errc() || stop != text.data() + end) {
            user_error("{} is \"{}\"; it must be numbers separated by commas", environment::cache_trusted_uids.name, text);
        }
        users.push_back(user);
        begin = end + 1;
    }
    return users;
}

}  // namespace

StoreOptions store_options(const EngineOptions& given) {
    StoreOptions options;
    options.directory = given.cache_directory ? *given.cache_directory : default_cache_directory();
    const bool off = value_of(environment::cache) == "off" || (given.cache_directory && given.cache_directory->empty());
    if (given.read_only_caches)
        options.read_only = *given.read_only_caches;
    else if (!off)
        options.read_only = parse_cache_path(value_of(environment::cache_path).value_or(""));
    options.trust = {trusted_users(), flag_of(environment::cache_group)};
    options.caps.bytes = number_of(environment::cache_max_bytes, options.caps.bytes, 1);
    options.caps.files = number_of(environment::cache_max_files, options.caps.files, 1);
    options.lock_seconds = static_cast<double>(number_of(environment::cache_lock_seconds, 60));
    return options;
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
