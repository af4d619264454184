// cache: what lies in the kernel cache, and what may leave it.
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
    bool json = false, all = false;
};

std::vector<StoredFile> files_of(const CacheOptions& options, std::string& directory) {
    Engine engine(engine_options(options.directory));
    directory = engine.store().directory().string();
    return engine.store().list(options.all);
}

int list(const CacheOptions& options) {
    std::string directory;
    nlohmann::json json = nlohmann::json::array();
    Table table({"key", "bytes", "target", "self check", "kind", "of"});
    for (const StoredFile& file : files_of(options, directory)) {
        const std::string kernel = file.problem.empty() ? file.kernel : "BAD: " + file.problem;
        table.add({file.key.substr(0, 12), grouped(static_cast<std::int64_t>(file.bytes)), file.target,
                   file.self_check.empty() ? "-" : file.self_check, file.kind, kernel});
        json.push_back({{"key", file.key},
                        {"path", file.path.string()},
                        {"bytes", file.bytes},
                        {"target", file.target},
                        {"kind", file.kind},
                        {"kernel", file.kernel},
                        {"self_check", file.self_check},
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

/// What was removed and what stays.
int report(const CacheOptions& options, const CollectReport& report) {
    if (options.json)
        fmt::print("{}\n", nlohmann::json{{"removed", report.evicted},
                                          {"removed_bytes", report.evicted_bytes},
                                          {"temporaries", report.temporaries},
                                          {"busy", report.busy}}
                               .dump(2));
    else if (report.busy)
        fmt::print("another process is at it\n");
    else
        fmt::print("{} entries removed ({}), {} files of dead writers\n", grouped(report.evicted),
                   scaled(static_cast<double>(report.evicted_bytes), "B"), grouped(report.temporaries));
    return exit_done;
}

int collect(const CacheOptions& options) {
    Engine engine(engine_options(options.directory));
    return report(options, engine.store().collect());
}

int clear(const CacheOptions& options) {
    Engine engine(engine_options(options.directory));
    return report(options, engine.store().clear());
}

}  // namespace

void add_cache(CLI::App& app, int& result) {
    auto options = std::make_shared<CacheOptions>();
    CLI::App* cache = app.add_subcommand("cache", "Look into the kernel cache, move entries, remove them.");
    cache->footer("Example:\n  flashtp-compile cache list");
    cache->require_subcommand(1);
    CLI::App* const commands[] = {
        add_command(*cache, "list", "A line an entry.", "flashtp-compile cache list", options, &list, result),
        add_command(*cache, "verify", "Check every entry's checksum and key.",
                    "flashtp-compile cache verify --cache /data/kernels", options, &verify, result),
        add_command(*cache, "stat", "Count entries and bytes by target.", "flashtp-compile cache stat --json", options, &stat,
                    result),
        add_command(*cache, "gc", "Remove what is over the caps, and files of dead writers.", "flashtp-compile cache gc", options,
                    &collect, result),
        add_command(*cache, "clear", "Remove every entry.", "flashtp-compile cache clear", options, &clear, result)};
    for (CLI::App* command : commands) {
        add_cache_directory(*command, options->directory);
        command->add_flag("--json", options->json, "as JSON");
    }
    for (CLI::App* command : {commands[0], commands[1], commands[2]}) {
        command->add_flag("--all", options->all, "also the read-only caches of FLASHTP_CACHE_PATH");
    }
    add_cache_entries(*cache, result);
}

}  // namespace flashtp::tools
