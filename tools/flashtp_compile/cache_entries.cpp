// cache export, import, dump, explain: entries one by one.
#include <algorithm>
#include <cstdio>

#include "ir/error.hpp"
#include "runtime/cache/binary.hpp"
#include "runtime/cache/entry.hpp"
#include "runtime/cache/pack.hpp"
#include "tools/flashtp_compile/command.hpp"
#include "tools/flashtp_compile/text.hpp"

namespace flashtp::tools {
namespace {

struct PackOptions {
    std::string directory, pack, target;
};

int export_pack(const PackOptions& options) {
    Engine engine(engine_options(options.directory));
    std::vector<PackEntry> entries = engine.store().entries();
    std::erase_if(entries, [&](const PackEntry& entry) {
        return !options.target.empty() && parse_entry(entry.bytes).target() != options.target;
    });
    const std::size_t count = entries.size();
    const auto bytes = pack_bytes(std::move(entries));
    write_output(options.pack, text_of(bytes));
    fmt::print(stderr, "{} entries, {} bytes\n", grouped(static_cast<std::int64_t>(count)),
               grouped(static_cast<std::int64_t>(bytes.size())));
    return exit_done;
}

int import_pack(const PackOptions& options) {
    Engine engine(engine_options(options.directory));
    const Pack pack(options.pack, engine.store().options().trust);
    std::int64_t bad = 0;
    for (const std::string& name : pack.names()) {
        const FileContent content = pack.read(name);
        const std::string problem =
            content.problem == ReadProblem::none ? engine.store().add({name, content.bytes}) : "it cannot be read";
        if (problem.empty()) continue;
        ++bad;
        fmt::print(stderr, "flashtp-compile: entry {}: {}\n", name, problem);
    }
    const auto total = static_cast<std::int64_t>(pack.names().size());
    fmt::print("{} of {} entries taken\n", grouped(total - bad), grouped(total));
    return bad == 0 ? exit_done : exit_failed;
}

struct DumpOptions {
    std::string directory, key, what = "code", output;
};

CacheEntry entry_of(Engine& engine, const std::string& prefix) { return parse_entry(engine.store().find(prefix).bytes); }

int dump(const DumpOptions& options) {
    Engine engine(engine_options(options.directory));
    const CacheEntry entry = entry_of(engine, options.key);
    const auto* record = std::get_if<Record>(&entry.content);
    write_output(options.output, options.what == "key"   ? std::string_view(entry.key_text)
                                 : record                ? std::string_view(record->text)
                                 : options.what == "log" ? std::string_view(entry.artifact().log)
                                                         : text_of(Bytes(entry.artifact().code)));
    return exit_done;
}

struct ExplainOptions {
    std::string directory, a, b;
};

std::string value_in(const std::vector<KeyField>& fields, const std::string& tag) {
    const auto found = std::ranges::find(fields, tag, &KeyField::tag);
    return found == fields.end() ? "(no such field)" : found->value;
}

int explain(const ExplainOptions& options) {
    Engine engine(engine_options(options.directory));
    const auto a = key_fields(entry_of(engine, options.a).key_text), b = key_fields(entry_of(engine, options.b).key_text);
    std::vector<std::string> tags;
    for (const auto& fields : {a, b}) {
        for (const KeyField& field : fields) {
            if (std::ranges::find(tags, field.tag) == tags.end()) tags.push_back(field.tag);
        }
    }
    bool differ = false;
    for (const std::string& tag : tags) {
        const std::string left = value_in(a, tag), right = value_in(b, tag);
        if (left == right) continue;
        differ = true;
        fmt::print("{}\n  {:.12}  {}\n  {:.12}  {}\n", tag, options.a, left, options.b, right);
    }
    if (!differ) fmt::print("the keys are the same\n");
    return exit_done;
}

}  // namespace

void add_cache_entries(CLI::App& cache, int& result) {
    auto packs = std::make_shared<PackOptions>();
    CLI::App* to = add_command(cache, "export", "Write the directory's entries to a pack; the same entries give the same bytes.",
                               "flashtp-compile cache export kernels.pack --target sm_90a", packs, &export_pack, result);
    to->add_option("--target", packs->target, "only entries of this target");
    CLI::App* from = add_command(cache, "import", "Put a pack's entries into the directory.",
                                 "flashtp-compile cache import kernels.pack", packs, &import_pack, result);
    for (CLI::App* command : {to, from}) {
        command->add_option("PACK", packs->pack, "the file")->required();
        add_cache_directory(*command, packs->directory);
    }

    auto dumped = std::make_shared<DumpOptions>();
    CLI::App* one = add_command(cache, "dump", "Write the code of an entry (a cubin or an ELF object; a record is text), its key or its log.",
                                "flashtp-compile cache dump 3f2a9c --what code -o kernel.cubin", dumped, &dump, result);
    one->add_option("KEY", dumped->key, "the beginning of its name")->required();
    one->add_option("--what", dumped->what)->check(CLI::IsMember({"code", "key", "log"}))->capture_default_str();
    one->add_option("-o,--output", dumped->output, "file; default: standard output");
    add_cache_directory(*one, dumped->directory);

    auto compared = std::make_shared<ExplainOptions>();
    CLI::App* two = add_command(cache, "explain", "Name the fields in which the keys of two entries differ.",
                                "flashtp-compile cache explain 3f2a9c 77b0de", compared, &explain, result);
    two->add_option("A", compared->a, "the beginning of an entry's name")->required();
    two->add_option("B", compared->b, "another")->required();
    add_cache_directory(*two, compared->directory);
}

}  // namespace flashtp::tools
