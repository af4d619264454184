#include "runtime/cache/store.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "ir/error.hpp"
#include "runtime/cache/entry.hpp"

namespace flashtp {
namespace {

void require_absolute(const std::filesystem::path& path, std::string_view what) {
    // A relative path would make whatever directory a job starts in a source of code.
    if (!path.is_absolute()) user_error("the {} \"{}\" must be an absolute path", what, path.string());
}

std::string words_for(const FileContent& content) {
    if (content.problem == ReadProblem::untrusted) return "it is no regular file of yours that only you may write, or too large";
    return std::strerror(content.error);
}

template <class Layer>
FileContent read_from(const Layer& layer, const std::string& name) {
    return std::visit([&](const auto& l) { return l.read(name); }, layer);
}

template <class Layer>
std::filesystem::path place_in(const Layer& layer, const std::string& name) {
    const auto* directory = std::get_if<CacheDirectory>(&layer);
    return directory ? directory->path_of(name) : std::get<Pack>(layer).path();
}

void describe(const Artifact& artifact, StoredFile& file) {
    file.kind = "kernel";
    file.kernel = artifact.kernel_name;
    file.target = artifact.target;
    file.self_check = artifact.self_check;
}

void describe(const Record& record, StoredFile& file) {
    file.kind = record.kind == EntryKind::program ? "program" : "tuned";
    file.kernel = record.title;
    file.target = record.target;
}

StoredFile inspect(std::filesystem::path path, const std::string& name, const FileContent& content) {
    StoredFile file{.path = std::move(path), .key = name, .bytes = content.bytes.size()};
    if (content.problem != ReadProblem::none) {
        file.problem = words_for(content);
        return file;
    }
    try {
        const CacheEntry entry = parse_entry(content.bytes);
        if (to_hex(sha256(entry.key_text)) != name) user_error("its name is not the SHA-256 of its key");
        std::visit([&](const auto& held) { describe(held, file); }, entry.content);
    } catch (const UserError& e) {
        file.problem = e.what();
    }
    return file;
}

}  // namespace

ArtifactStore::ArtifactStore(StoreOptions options, Log& log) : options_(std::move(options)), log_(log) {
    if (!options_.directory.empty()) require_absolute(options_.directory, "cache directory");
    for (const auto& path : options_.read_only) require_absolute(path, "read-only cache");
    open_layers();
    if (has_directory_ && options_.lock_seconds > 0) lock_directory_ = flashtp::lock_directory();
}

void ArtifactStore::open_layers() {
    const auto use = [&](CacheDirectory directory) {
        const std::string problem = directory.problem();
        if (problem.empty())
            layers_.emplace_back(std::move(directory));
        else
            log_.warn_once("layer " + directory.path().string(),
                           fmt::format("kernel cache: {} is not used: {}", directory.path().string(), problem));
        return problem.empty();
    };
    layers_.reserve(1 + options_.read_only.size());
    if (!options_.directory.empty()) has_directory_ = use(CacheDirectory(options_.directory, options_.trust, true));
    for (const auto& path : options_.read_only) {
        struct stat status;
        if (::stat(path.c_str(), &status) != 0 || S_ISDIR(status.st_mode)) {
            use(CacheDirectory(path, options_.trust, false));
            continue;
        }
        try {
            layers_.emplace_back(std::in_place_type<Pack>, path, options_.trust);
        } catch (const UserError& error) {
            log_.warn_once("layer " + path.string(), fmt::format("kernel cache: {}", error.what()));
        }
    }
}

const CacheDirectory* ArtifactStore::writable() const {
    return has_directory_ ? &std::get<CacheDirectory>(layers_.front()) : nullptr;
}

std::filesystem::path ArtifactStore::path_of(const Key& key) const {
    return CacheDirectory(options_.directory, options_.trust, false).path_of(key.hex());
}

template <class Content>
std::optional<Content> ArtifactStore::load_from(const Layer& layer, const Key& key, const std::string& name) {
    const auto* directory = std::get_if<CacheDirectory>(&layer);
    const FileContent content = directory ? directory->read(name, true) : std::get<Pack>(layer).read(name);
    if (content.problem == ReadProblem::absent) return std::nullopt;
    const std::filesystem::path path = place_in(layer, name);
    if (content.problem != ReadProblem::none) {
        reject(path, content.problem == ReadProblem::untrusted ? Reject::untrusted : Reject::unreadable, words_for(content));
        return std::nullopt;
    }
    try {
        CacheEntry entry = parse_entry(content.bytes);
        auto* const held = std::get_if<Content>(&entry.content);
        if (held && entry.key_text == key.text()) return std::move(*held);
        reject(path, Reject::other_key, "it holds another key");
    } catch (const UserError& e) {
        reject(path, Reject::damaged, e.what());
    }
    return std::nullopt;
}

std::optional<Artifact> ArtifactStore::load(const Key& key) {
    if (layers_.empty()) return std::nullopt;
    const std::string name = key.hex();
    for (const Layer& layer : layers_) {
        auto artifact = load_from<Artifact>(layer, key, name);
        if (!artifact) continue;
        ++hits_;
        if (&layer != &layers_.front() || !has_directory_) ++read_only_hits_;
        return artifact;
    }
    ++misses_;
    return std::nullopt;
}

std::optional<Record> ArtifactStore::load_record(const Key& key, EntryKind kind) {
    if (layers_.empty()) return std::nullopt;
    const std::string name = key.hex();
    for (const Layer& layer : layers_) {
        auto record = load_from<Record>(layer, key, name);
        if (!record || record->kind != kind) continue;
        ++(kind == EntryKind::program ? program_hits_ : tuned_hits_);
        return record;
    }
    program_misses_ += kind == EntryKind::program;
    return std::nullopt;
}

bool ArtifactStore::save(const Key& key, const Artifact& artifact, bool replace) {
    const bool saved = publish(key, artifact, replace);
    stored_ += saved;
    return saved;
}

bool ArtifactStore::save_record(const Key& key, const Record& record, bool replace) {
    return publish(key, record, replace);
}

template <class Content>
bool ArtifactStore::publish(const Key& key, const Content& content, bool replace) {
    const CacheDirectory* const directory = writable();
    if (!directory) {
        failures_ += !options_.directory.empty();
        return false;
    }
    const std::vector<std::uint8_t> bytes = to_bytes({key.text(), content});
    if (refused_ || bytes.size() > max_entry_bytes) {
        ++failures_;
        return false;
    }
    const std::string name = key.hex();
    // What is there and could not be loaded must be replaced; what is there and good is left alone.
    const bool bad = directory->contains(name) && !inspect("", name, directory->read(name)).problem.empty();
    const Published published = directory->publish(name, bytes, replace || bad);
    if (published.error) {
        fail(published);
        return false;
    }
    if (collection_is_due(*directory, options_.caps, name, published.written_at)) collect();
    return true;
}

ArtifactStore::Obtained ArtifactStore::obtain(const Key& key, const std::function<bool(const Artifact&)>& accept,
                                              const std::function<Artifact()>& make) {
    auto found = load(key);
    if (found && accept(*found)) return {std::move(*found), true};
    const WorkLock working = lock(key.hex());
    // Somebody else was quicker, perhaps.
    if (working.waited() && (found = load(key)) && accept(*found)) return {std::move(*found), true};
    Obtained made{make(), false};
    save(key, made.artifact, found.has_value());
    return made;
}

WorkLock ArtifactStore::lock(const std::string& name) {
    const CacheDirectory* const directory = writable();
    WorkLock lock(lock_directory_, name, std::chrono::duration<double>(options_.lock_seconds),
                  [&] { return directory && directory->contains(name); });
    if (lock.outcome() == WorkLock::Outcome::timed_out) ++lock_timeouts_;
    return lock;
}

CollectReport ArtifactStore::collect() {
    const CacheDirectory* const directory = writable();
    if (!directory) return {};
    const CollectReport report = flashtp::collect(*directory, options_.caps);
    evicted_ += report.evicted;
    return report;
}

CollectReport ArtifactStore::clear() {
    const CacheDirectory* const directory = writable();
    return directory ? flashtp::clear(*directory) : CollectReport{};
}

void ArtifactStore::reject(const std::filesystem::path& path, Reject reason, const std::string& why) {
    ++rejects_[static_cast<std::size_t>(reason)];
    log_.warn_once("reject", fmt::format("kernel cache: {} is not used: {}", path.string(), why));
}

void ArtifactStore::fail(const Published& published) {
    ++failures_;
    if (published.error == EROFS || published.error == EACCES || published.error == EPERM) refused_ = true;
    log_.warn_once("store", fmt::format("kernel cache: {}: {}; compiled kernels stay in memory", published.what,
                                        std::strerror(published.error)));
}

std::vector<StoredFile> ArtifactStore::list(bool read_only_layers) const {
    std::vector<StoredFile> files;
    for (const Layer& layer : layers_) {
        if (!read_only_layers && !(has_directory_ && &layer == &layers_.front())) break;
        for (const std::string& name : std::visit([](const auto& l) { return l.names(); }, layer)) {
            files.push_back(inspect(place_in(layer, name), name, read_from(layer, name)));
        }
    }
    return files;
}

std::vector<PackEntry> ArtifactStore::entries() const {
    std::vector<PackEntry> entries;
    const CacheDirectory* const directory = writable();
    if (!directory) return entries;
    for (const std::string& name : directory->names()) {
        FileContent content = directory->read(name);
        if (inspect("", name, content).problem.empty()) entries.push_back({name, std::move(content.bytes)});
    }
    return entries;
}

std::string ArtifactStore::add(const PackEntry& entry) {
    const CacheDirectory* const directory = writable();
    if (!directory) return "there is no cache directory";
    const std::string problem = inspect("", entry.name, {ReadProblem::none, 0, entry.bytes}).problem;
    if (!problem.empty()) return problem;
    const Published published = directory->publish(entry.name, entry.bytes, false);
    if (!published.error) return "";
    fail(published);
    return fmt::format("{}: {}", published.what, std::strerror(published.error));
}

PackEntry ArtifactStore::find(const std::string& prefix) const {
    std::vector<PackEntry> found;
    for (const Layer& layer : layers_) {
        for (const std::string& name : std::visit([](const auto& l) { return l.names(); }, layer)) {
            const bool known = std::ranges::find(found, name, &PackEntry::name) != found.end();
            if (name.starts_with(prefix) && !known) found.push_back({name, read_from(layer, name).bytes});
        }
    }
    if (found.empty()) user_error("no entry of the cache starts with {}", prefix);
    if (found.size() > 1) user_error("{} entries of the cache start with {}", found.size(), prefix);
    return std::move(found.front());
}

std::string ArtifactStore::toolchain_of(const std::string& target) const {
    for (const Layer& layer : layers_) {
        for (const std::string& name : std::visit([](const auto& l) { return l.names(); }, layer)) {
            try {
                const CacheEntry entry = parse_entry(read_from(layer, name).bytes);
                if (entry.target() != target) continue;
                for (const KeyField& field : key_fields(entry.key_text)) {
                    if (field.tag == toolchain_tag) return field.value;
                }
            } catch (const UserError&) {  // a bad entry says nothing
            }
        }
    }
    return {};
}

StoreCounts ArtifactStore::counts() const {
    StoreCounts counts{hits_, misses_, 0, stored_, failures_, read_only_hits_, lock_timeouts_, evicted_,
                       program_hits_, program_misses_, tuned_hits_, {}};
    for (std::size_t reason = 0; reason < rejects_.size(); ++reason) {
        counts.rejects[reason] = rejects_[reason];
        counts.rejected += rejects_[reason];
    }
    return counts;
}

}  // namespace flashtp
