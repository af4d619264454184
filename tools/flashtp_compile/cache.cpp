// cache: what lies in the kernel cache.
#include <algorithm>
#include <cstdio>
#include <map>

#include <nlohmann/json.hpp>

#include "ir/error.hpp"
#include "tools/flashtp_compile/command.hpp"
#include "tools/flashtp_compile/text.hpp"

namespace flashtp::tools {
namespace {

struct CacheOptions {
    std::string directory;
    bool json = false;
};

std::vector<StoredFile> files_of(const CacheOptions& options, std::string& directory) {
    Engine engine(engine_options(options.directory));
    directory = engine.store().directory().string();
    return engine.store().list();
}

int list(const CacheOptions& options) {
    std::string directory;
    nlohmann::json json = nlohmann::json::array();
    Table table({"key", "bytes", "target", "kernel"});
    for (const StoredFile& file : files_of(options, directory)) {
        const std::string kernel = file.problem.empty() ? file.kernel : "BAD: " + file.problem;
        table.add({file.key.substr(0, 12), grouped(static_cast<std::int64_t>(file.bytes)), file.target, kernel});
        json.push_back({{"key", file.key},
                        {"path", file.path.string()},
                        {"bytes", file.bytes},
                        {"target", file.target},
                        {"kernel", file.kernel},
                        {"problem", file.problem}});
    }
    if (options.json)
        fmt::print("{}\n", json.dump(2));
    else
        fmt::print("{}", table.text());
    return exit_done;
}

int verify(const CacheOptions& options) {
    std::string directory;
    std::int64_t bad = 0;
    const std::vector<StoredFile> files = files_of(options, directory);
    for (const StoredFile& file : files) {
        if (file.problem.empty()) continue;
        ++bad;
        fmt::print(stderr, "flashtp-compile: {}: {}\n", file.path.string(), file.problem);
    }
    if (options.json)
        fmt::print("{}\n", nlohmann::json{{"entries", files.size()}, {"bad", bad}}.dump(2));
    else
        fmt::print("{} entries, {} bad\n", grouped(static_cast<std::int64_t>(files.size())), grouped(bad));
    return bad == 0 ? exit_done : exit_failed;
}

int stat(const CacheOptions& options) {
    struct Sum {
        std::int64_t entries = 0, bytes = 0;
    };
    std::string directory;
    std::map<std::string, Sum> by_target;
    Sum all;
    for (const StoredFile& file : files_of(options, directory)) {
        for (Sum* sum : {&all, &by_target[file.problem.empty() ? file.target : "bad"]}) {
            ++sum->entries;
            sum->bytes += static_cast<std::int64_t>(file.bytes);
        }
    }
    nlohmann::json json{
        {"directory", directory}, {"entries", all.entries}, {"bytes", all.bytes}, {"targets", nlohmann::json::object()}};
    Table table({"target", "entries", "bytes"});
    for (const auto& [target, sum] : by_target) {
        table.add({target, grouped(sum.entries), grouped(sum.bytes)});
        json["targets"][target] = {{"entries", sum.entries}, {"bytes", sum.bytes}};
    }
    if (options.json)
        fmt::print("{}\n", json.dump(2));
    else
        fmt::print("{}: {} entries, {}\n{}", directory.empty() ? "(off)" : directory, grouped(all.entries),
                   scaled(static_cast<double>(all.bytes), "B"), by_target.empty() ? "" : table.text());
    return exit_done;
}

}  // namespace

void add_cache(CLI::App& app, int& result) {
    auto options = std::make_shared<CacheOptions>();
    CLI::App* cache = app.add_subcommand("cache", "Look into the kernel cache.");
    cache->footer("Example:\n  flashtp-compile cache list");
    cache->require_subcommand(1);
    CLI::App* const commands[] = {
        add_command(*cache, "list", "A line an entry.", "flashtp-compile cache list", options, &list, result),
        add_command(*cache, "verify", "Check every entry's checksum and key.",
                    "flashtp-compile cache verify --cache /data/kernels", options, &verify, result),
        add_command(*cache, "stat", "Count entries and bytes by target.", "flashtp-compile cache stat --json", options, &stat,
                    result)};
    for (CLI::App* command : commands) {
        add_cache_directory(*command, options->directory);
        command->add_flag("--json", options->json, "as JSON");
    }
}

}  // namespace flashtp::tools
