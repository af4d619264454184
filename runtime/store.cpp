#include "runtime/store.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "ir/error.hpp"
#include "runtime/entry.hpp"
#include "runtime/files.hpp"

namespace flashtp {
namespace {

constexpr const char* version_directory = "v1";

/// Directories of caches that somebody else may write are not used: write access to the cache is code execution.
std::string why_unreadable(int error) {
    if (error == -1) return "it is no regular file of yours that only you may write, or too large";
    return std::strerror(error);
}

bool is_key_name(const std::string& name) {
    return name.size() == 64 && name.find_first_not_of("0123456789abcdef") == std::string::npos;
}

StoredFile inspect(const std::filesystem::path& path) {
    StoredFile file{.path = path, .key = path.filename().string()};
    int error = 0;
    const auto bytes = read_file(path, max_entry_bytes, error);
    if (!bytes) {
        file.problem = why_unreadable(error);
        return file;
    }
    file.bytes = bytes->size();
    try {
        const CacheEntry entry = parse_entry(*bytes);
        if (to_hex(sha256(entry.key_text)) != file.key) user_error("its name is not the SHA-256 of its key");
        file.kernel = entry.artifact.kernel_name;
        file.target = entry.artifact.target;
    } catch (const UserError& e) {
        file.problem = e.what();
    }
    return file;
}

}  // namespace

ArtifactStore::ArtifactStore(std::filesystem::path directory, Log& log) : directory_(std::move(directory)), log_(log) {
    if (!directory_.empty() && !directory_.is_absolute()) {
        user_error("the cache directory \"{}\" must be an absolute path", directory_.string());
    }
}

std::filesystem::path ArtifactStore::path_of(const Key& key) const {
    const std::string hex = key.hex();
    return directory_ / version_directory / hex.substr(0, 2) / hex;
}

std::optional<Artifact> ArtifactStore::load(const Key& key) {
    if (directory_.empty()) return std::nullopt;
    const std::filesystem::path path = path_of(key);
    int error = 0;
    auto bytes = read_file(path, max_entry_bytes, error);
    // A network file system that replaced the file under us: once more with the new one.
    if (!bytes && error == ESTALE) bytes = read_file(path, max_entry_bytes, error);
    if (!bytes) {
        ++misses_;
        if (error != ENOENT && error != ENOTDIR) reject(path, why_unreadable(error));
        return std::nullopt;
    }
    try {
        CacheEntry entry = parse_entry(*bytes);
        if (entry.key_text != key.text()) user_error("it holds another key");
        ++hits_;
        return std::move(entry.artifact);
    } catch (const UserError& e) {
        ++misses_;
        reject(path, e.what());
        return std::nullopt;
    }
}

bool ArtifactStore::save(const Key& key, const Artifact& artifact) {
    if (directory_.empty()) return false;
    const std::vector<std::uint8_t> bytes = to_bytes({key.text(), artifact});
    if (bytes.size() > max_entry_bytes) return false;
    const std::filesystem::path path = path_of(key);
    // What is there and could not be loaded must be replaced; what is there and good is left alone.
    const bool replace = !inspect(path).problem.empty() && std::filesystem::exists(std::filesystem::symlink_status(path));
    return publish(bytes, path, replace);
}

bool ArtifactStore::publish(const std::vector<std::uint8_t>& bytes, const std::filesystem::path& final, bool replace) {
    const std::filesystem::path temporary_directory = directory_ / "tmp";
    for (const auto& directory : {temporary_directory, final.parent_path()}) {
        if (const int error = make_private_directory(directory)) {
            fail("cannot create " + directory.string(), error);
            return false;
        }
    }
    int error = 0;
    const auto temporary = write_temporary(temporary_directory, bytes, error);
    if (temporary) error = publish_file(*temporary, final, replace);
    if (error) {
        fail("cannot write to " + directory_.string(), error);
        return false;
    }
    ++stored_;
    return true;
}

void ArtifactStore::reject(const std::filesystem::path& path, const std::string& why) {
    ++rejected_;
    log_.warn_once("reject", fmt::format("kernel cache: {} is not used: {}", path.string(), why));
}

void ArtifactStore::fail(const std::string& what, int error) {
    ++failures_;
    log_.warn_once("store", fmt::format("kernel cache: {}: {}; compiled kernels stay in memory", what, std::strerror(error)));
}

std::vector<StoredFile> ArtifactStore::list() const {
    std::vector<std::filesystem::path> paths;
    std::error_code ignored;  // what vanishes while we look was never there
    const auto options = std::filesystem::directory_options::skip_permission_denied;
    if (!directory_.empty()) {
        std::filesystem::recursive_directory_iterator at(directory_ / version_directory, options, ignored), end;
        for (; at != end; at.increment(ignored)) {
            if (is_key_name(at->path().filename().string())) paths.push_back(at->path());
        }
    }
    std::sort(paths.begin(), paths.end());
    std::vector<StoredFile> files;
    for (const auto& path : paths) files.push_back(inspect(path));
    return files;
}

StoreCounts ArtifactStore::counts() const { return {hits_, misses_, rejected_, stored_, failures_}; }

}  // namespace flashtp
