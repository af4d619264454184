#include "runtime/cache/entry.hpp"

#include <algorithm>
#include <charconv>
#include <cstring>

#include <fmt/format.h>

#include "ir/error.hpp"
#include "runtime/cache/binary.hpp"
#include "runtime/cache/key.hpp"

namespace flashtp {
namespace {

constexpr std::string_view first_magic = "FLASHTP\n", last_magic = "\nPTHSALF";
constexpr std::uint16_t format_number = 1;
constexpr std::size_t header_size = 8 + 2 + 2 + 4 + 8 + 32, section_size = 24, trailer_size = 8 + 32 + 8;

enum SectionType : std::uint32_t { section_key = 1, section_code = 2, section_metadata = 3 };

std::string metadata_of(const Record& record) {
    return Key().add("kernel", record.title).add("target", record.target).text();
}

std::string metadata_of(const Artifact& artifact) {
    // No compile time: it differs between writers of the same key.
    Key fields;
    fields.add("kernel", artifact.kernel_name).add("target", artifact.target);
    fields.add("registers", fmt::to_string(artifact.registers)).add("spill-bytes", fmt::to_string(artifact.spill_bytes));
    fields.add("shared-bytes", fmt::to_string(artifact.shared_bytes)).add("log", artifact.log);
    return fields.add("self-check", artifact.self_check).text();
}

/// Fields that a later version adds are skipped.
class Metadata {
  public:
    explicit Metadata(Bytes bytes) : fields_(key_fields(text_of(bytes))) {}

    const std::string& text(std::string_view tag) const {
        const auto found = std::ranges::find(fields_, tag, &KeyField::tag);
        if (found == fields_.end()) user_error("its metadata has no {}", tag);
        return found->value;
    }
    template <class Int>
    void number(std::string_view tag, Int& to) const {
        const std::string& digits = text(tag);
        const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), to);
        if (error != std::errc() || end != digits.data() + digits.size()) user_error("its {} is no number", tag);
    }

  private:
    std::vector<KeyField> fields_;
};

Record read_record(EntryKind kind, Bytes text, const Metadata& metadata) {
    return {kind, metadata.text("kernel"), metadata.text("target"), std::string(text_of(text))};
}

Artifact read_artifact(Bytes code, const Metadata& metadata) {
    Artifact artifact;
    artifact.code.assign(code.begin(), code.end());
    artifact.kernel_name = metadata.text("kernel");
    artifact.target = metadata.text("target");
    metadata.number("registers", artifact.registers);
    metadata.number("spill-bytes", artifact.spill_bytes);
    metadata.number("shared-bytes", artifact.shared_bytes);
    artifact.log = metadata.text("log");
    artifact.self_check = metadata.text("self-check");
    return artifact;
}

EntryKind kind_of(const Artifact& artifact) {
    return artifact.target.starts_with("sm_") ? EntryKind::cubin : EntryKind::elf_object;
}
EntryKind kind_of(const Record& record) { return record.kind; }

Bytes body_of(const Artifact& artifact) { return artifact.code; }
Bytes body_of(const Record& record) { return bytes_of(record.text); }

EntryKind checked_kind(std::uint64_t number) {
    if (number < static_cast<std::uint64_t>(EntryKind::cubin) || number > static_cast<std::uint64_t>(EntryKind::tuned))
        user_error("its kind, {}, is not known", number);
    return static_cast<EntryKind>(number);
}

void check_frame(Bytes bytes) {
    if (bytes.size() < header_size + trailer_size) user_error("it is {} bytes long, too short for an entry", bytes.size());
    if (std::memcmp(bytes.data(), first_magic.data(), 8) != 0) user_error("it does not start as an entry does");
    BinaryReader trailer(bytes.last(trailer_size));
    if (trailer.number(8) != bytes.size()) user_error("its size is not the one written in it");
    const Bytes digest = trailer.take(32);
    if (std::memcmp(trailer.take(8).data(), last_magic.data(), 8) != 0) user_error("it does not end as an entry does");
    const Digest found = sha256(bytes.first(bytes.size() - 40));
    if (std::memcmp(found.data(), digest.data(), 32) != 0) user_error("its checksum is wrong");
}

struct Section {
    std::uint32_t type;
    Bytes bytes;
};

std::vector<Section> read_sections(BinaryReader& header, Bytes bytes, std::uint64_t count) {
    if (count > (bytes.size() - header_size) / section_size) user_error("its section table is too long");
    std::vector<Section> sections;
    for (std::uint64_t i = 0; i < count; ++i) {
        const auto type = static_cast<std::uint32_t>(header.number(4));
        header.number(4);
        const std::uint64_t offset = header.number(8), length = header.number(8);
        if (offset > bytes.size() || length > bytes.size() - offset) user_error("a section reaches beyond its end");
        sections.push_back({type, bytes.subspan(offset, length)});
    }
    return sections;
}

Bytes find_section(const std::vector<Section>& sections, SectionType type) {
    for (const Section& section : sections) {
        if (section.type == type) return section.bytes;
    }
    user_error("it has no section of type {}", static_cast<int>(type));
}

}  // namespace

const Artifact& CacheEntry::artifact() const {
    if (const auto* artifact = std::get_if<Artifact>(&content)) return *artifact;
    user_error("it holds no kernel");
}

const Record& CacheEntry::record() const {
    if (const auto* record = std::get_if<Record>(&content)) return *record;
    user_error("it holds a kernel");
}

const std::string& CacheEntry::target() const {
    return std::visit([](const auto& held) -> const std::string& { return held.target; }, content);
}

std::vector<std::uint8_t> to_bytes(const CacheEntry& entry) {
    const std::string metadata = std::visit([](const auto& content) { return metadata_of(content); }, entry.content);
    const Bytes body = std::visit([](const auto& content) { return body_of(content); }, entry.content);
    const EntryKind kind = std::visit([](const auto& content) { return kind_of(content); }, entry.content);
    const Section sections[] = {
        {section_key, bytes_of(entry.key_text)}, {section_code, body}, {section_metadata, bytes_of(metadata)}};
    std::uint64_t offset = header_size + section_size * std::size(sections), total = offset + trailer_size;
    for (const Section& section : sections) total += section.bytes.size();

    BinaryWriter writer;
    writer.append(bytes_of(first_magic));
    writer.number(format_number, 2);
    writer.number(static_cast<std::uint64_t>(kind), 2);
    writer.number(std::size(sections), 4);
    writer.number(total, 8);
    writer.append(sha256(entry.key_text));
    for (const Section& section : sections) {
        writer.number(section.type, 4);
        writer.number(0, 4);
        writer.number(offset, 8);
        writer.number(section.bytes.size(), 8);
        offset += section.bytes.size();
    }
    for (const Section& section : sections) writer.append(section.bytes);
    writer.number(total, 8);
    writer.append(sha256(Bytes(writer.bytes())));
    writer.append(bytes_of(last_magic));
    return std::move(writer.bytes());
}

CacheEntry parse_entry(Bytes bytes) {
    check_frame(bytes);
    BinaryReader header(bytes);
    header.take(8);
    const std::uint64_t format = header.number(2);
    if (format != format_number) user_error("its format is {}, not {}", format, format_number);
    const EntryKind kind = checked_kind(header.number(2));
    const std::uint64_t count = header.number(4);
    if (header.number(8) != bytes.size()) user_error("its size is not the one written in it");
    const Bytes key_digest = header.take(32);
    // Sections of other types are skipped: later versions may add them.
    const std::vector<Section> sections = read_sections(header, bytes, count);

    CacheEntry entry;
    entry.key_text = text_of(find_section(sections, section_key));
    const Digest digest = sha256(entry.key_text);
    if (std::memcmp(digest.data(), key_digest.data(), 32) != 0) user_error("its key is not the one in its header");
    const Bytes body = find_section(sections, section_code);
    const Metadata metadata(find_section(sections, section_metadata));
    if (kind == EntryKind::program || kind == EntryKind::tuned)
        entry.content = read_record(kind, body, metadata);
    else
        entry.content = read_artifact(body, metadata);
    return entry;
}

}  // namespace flashtp
