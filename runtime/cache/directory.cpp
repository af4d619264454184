#include "runtime/cache/directory.hpp"

#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace flashtp {

bool is_entry_name(const std::string& name) {
    return name.size() == 64 && name.find_first_not_of("0123456789abcdef") == std::string::npos;
}

std::filesystem::path CacheDirectory::path_of(const std::string& name) const {
    return path_ / cache_layout / name.substr(0, 2) / name;
}

/// Nothing is refreshed in a directory that is mounted or meant read-only.
bool CacheDirectory::is_writable() const { return may_write_ && ::access(path_.c_str(), W_OK) == 0; }

std::string CacheDirectory::problem() const {
    struct stat status;
    if (::stat(path_.c_str(), &status) != 0) {
        return errno == ENOENT && may_write_ ? "" : std::strerror(errno);  // created when something is stored
    }
    if (!S_ISDIR(status.st_mode)) return "it is no directory";
    if (!trust_.accepts(status)) return "it belongs to somebody else, or others may write it";
    return "";
}

FileContent CacheDirectory::read(const std::string& name, bool use) const {
    return read_file(path_of(name), trust_, max_entry_bytes, use && is_writable());
}

bool CacheDirectory::contains(const std::string& name) const {
    struct stat status;
    return ::lstat(path_of(name).c_str(), &status) == 0;
}

Published CacheDirectory::publish(const std::string& name, const std::vector<std::uint8_t>& bytes, bool replace) const {
    Published result;
    const std::filesystem::path final = path_of(name);
    for (const auto& directory : {path_, temporary_directory(), path_ / cache_layout, final.parent_path()}) {
        result.error = make_directory(directory, trust_);
        result.what = "cannot use " + directory.string();
        if (result.error) return result;
    }
    result.what = "cannot write to " + path_.string();
    auto temporary = write_temporary(temporary_directory(), bytes, trust_, result.error);
    if (!temporary) return result;
    result.written_at = temporary->written_at;
    result.error = publish_file(std::move(*temporary), final, replace);
    return result;
}

std::vector<std::string> CacheDirectory::names() const {
    std::vector<std::string> names;
    const std::filesystem::path top = path_ / cache_layout;
    for (const std::string& shard : names_in(top)) {
        for (std::string& name : names_in(top / shard)) {
            if (is_entry_name(name) && name.starts_with(shard)) names.push_back(std::move(name));
        }
    }
    return names;
}

bool CacheDirectory::remove(const std::string& name) const { return ::unlink(path_of(name).c_str()) == 0 || errno == ENOENT; }

}  // namespace flashtp
