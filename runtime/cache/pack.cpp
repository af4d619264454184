#include "runtime/cache/pack.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "ir/error.hpp"
#include "runtime/cache/binary.hpp"
#include "runtime/cache/directory.hpp"
#include "runtime/cache/key.hpp"

namespace flashtp {
namespace {

constexpr std::string_view pack_magic = "FLASHTPK";
constexpr std::uint32_t pack_format = 1;
constexpr std::uint64_t pack_header_size = 8 + 4 + 4 + 8, index_entry_size = 32 + 8 + 8, digest_size = 32;
constexpr std::uint64_t max_pack_entries = 1 << 20, max_pack_bytes = 1ull << 40;

Digest digest_of(const std::string& name) {
    Digest digest;
    for (std::size_t i = 0; i < digest.size(); ++i) {
        digest[i] = static_cast<std::uint8_t>(std::stoi(name.substr(2 * i, 2), nullptr, 16));
    }
    return digest;
}

std::string name_of(Bytes bytes) {
    Digest digest;
    std::copy(bytes.begin(), bytes.end(), digest.begin());
    return to_hex(digest);
}

struct PackHeader {
    std::uint64_t entries;
    std::uint64_t index_bytes() const { return pack_header_size + entries * index_entry_size + digest_size; }
};

PackHeader parse_header(BinaryReader& reader, std::uint64_t total) {
    if (text_of(reader.take(8)) != pack_magic) user_error("it does not start as a pack does");
    const std::uint64_t format = reader.number(4);
    if (format != pack_format) user_error("its format is {}, not {}", format, pack_format);
    const PackHeader header{reader.number(4)};
    if (header.entries > max_pack_entries) user_error("it has {} entries, more than {}", header.entries, max_pack_entries);
    if (reader.number(8) != total) user_error("its size is not the one written in it");
    return header;
}

}  // namespace

std::vector<std::uint8_t> pack_bytes(std::vector<PackEntry> entries) {
    std::ranges::sort(entries, {}, &PackEntry::name);
    const PackHeader header{entries.size()};
    std::uint64_t total = header.index_bytes();
    for (const PackEntry& entry : entries) total += entry.bytes.size();

    BinaryWriter writer;
    writer.append(bytes_of(pack_magic));
    writer.number(pack_format, 4);
    writer.number(entries.size(), 4);
    writer.number(total, 8);
    std::uint64_t offset = header.index_bytes();
    for (const PackEntry& entry : entries) {
        writer.append(digest_of(entry.name));
        writer.number(offset, 8);
        writer.number(entry.bytes.size(), 8);
        offset += entry.bytes.size();
    }
    writer.append(sha256(Bytes(writer.bytes())));
    for (const PackEntry& entry : entries) writer.append(entry.bytes);
    return std::move(writer.bytes());
}

std::vector<PackIndexEntry> parse_pack_index(Bytes bytes, std::uint64_t total) {
    BinaryReader reader(bytes);
    const PackHeader header = parse_header(reader, total);
    if (header.index_bytes() > bytes.size()) user_error("it ends too early");
    const Bytes digested = bytes.first(header.index_bytes() - digest_size);
    const Digest digest = sha256(digested);
    if (std::memcmp(digest.data(), bytes.data() + digested.size(), digest.size()) != 0) user_error("its checksum is wrong");

    std::vector<PackIndexEntry> index;
    for (std::uint64_t i = 0; i < header.entries; ++i) {
        std::string name = name_of(reader.take(digest_size));
        const std::uint64_t offset = reader.number(8), length = reader.number(8);
        const bool inside = offset >= header.index_bytes() && offset <= total && length <= total - offset;
        if (!inside || length > max_entry_bytes) user_error("an entry reaches beyond its end");
        index.push_back({std::move(name), offset, length});
    }
    return index;
}

Pack::Pack(std::filesystem::path path, const Trust& trust) : path_(std::move(path)) {
    const auto refuse = [&](std::string_view why) { user_error("the pack {} is not used: {}", path_.string(), why); };
    FileContent content;
    struct stat status;
    file_ = open_trusted(path_, trust, max_pack_bytes, status, content);
    if (content.problem == ReadProblem::untrusted) refuse("it is no regular file of yours that only you may write");
    if (!file_) refuse(std::strerror(content.error));
    const auto total = static_cast<std::uint64_t>(status.st_size);
    try {
        std::vector<std::uint8_t> bytes(std::min(total, pack_header_size));
        if (!read_at(file_.get(), 0, bytes)) refuse(std::strerror(errno));
        BinaryReader reader(bytes);
        bytes.resize(std::min(total, parse_header(reader, total).index_bytes()));
        if (!read_at(file_.get(), 0, bytes)) refuse(std::strerror(errno));
        for (PackIndexEntry& entry : parse_pack_index(bytes, total)) index_.emplace(entry.name, entry);
    } catch (const UserError& error) {
        refuse(error.what());
    }
}

FileContent Pack::read(const std::string& name) const {
    FileContent content;
    const auto found = index_.find(name);
    if (found == index_.end()) {
        content.problem = ReadProblem::absent;
        return content;
    }
    content.bytes.resize(found->second.length);
    if (!read_at(file_.get(), found->second.offset, content.bytes)) content = {ReadProblem::unreadable, errno, {}};
    return content;
}

std::vector<std::string> Pack::names() const {
    std::vector<std::string> names;
    for (const auto& [name, entry] : index_) names.push_back(name);
    return names;
}

}  // namespace flashtp
