#include "runtime/library_identity.hpp"

#include <elf.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <optional>
#include <span>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "ir/error.hpp"
#include "runtime/cache/key.hpp"

namespace flashtp {
namespace {

using Bytes = std::span<const std::uint8_t>;

/// A file in memory, read-only.
class MappedFile {
  public:
    explicit MappedFile(const std::filesystem::path& path) {
        const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
        struct stat facts{};
        if (file >= 0 && ::fstat(file, &facts) == 0 && facts.st_size > 0) {
            size_ = static_cast<std::size_t>(facts.st_size);
            data_ = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, file, 0);
        }
        if (file >= 0) ::close(file);
        if (data_ == MAP_FAILED) throw CompileError(fmt::format("cannot read {}", path.string()));
    }
    ~MappedFile() { ::munmap(data_, size_); }
    MappedFile(const MappedFile&) = delete;
    MappedFile& operator=(const MappedFile&) = delete;
    Bytes bytes() const { return {static_cast<const std::uint8_t*>(data_), size_}; }

  private:
    void* data_ = MAP_FAILED;
    std::size_t size_ = 0;
};

/// The header at a position; nothing when the file ends before.
template <class T>
std::optional<T> at(Bytes file, std::uint64_t offset) {
    if (offset > file.size() || file.size() - offset < sizeof(T)) return {};
    T value;
    std::memcpy(&value, file.data() + offset, sizeof(T));
    return value;
}

std::uint64_t padded(std::uint64_t size) { return (size + 3) / 4 * 4; }

std::optional<Bytes> build_id_in_notes(Bytes notes) {
    for (std::uint64_t offset = 0; const auto note = at<Elf64_Nhdr>(notes, offset);) {
        const std::uint64_t name = offset + sizeof(Elf64_Nhdr), content = name + padded(note->n_namesz);
        if (content > notes.size() || notes.size() - content < note->n_descsz) return {};
        if (note->n_type == NT_GNU_BUILD_ID && note->n_namesz == 4 && std::memcmp(notes.data() + name, "GNU", 4) == 0)
            return notes.subspan(content, note->n_descsz);
        offset = content + padded(note->n_descsz);
    }
    return {};
}

std::optional<Bytes> build_id(Bytes file) {
    const auto header = at<Elf64_Ehdr>(file, 0);
    if (!header || std::memcmp(header->e_ident, ELFMAG, SELFMAG) != 0 || header->e_ident[EI_CLASS] != ELFCLASS64) return {};
    for (std::uint64_t n = 0; n < header->e_phnum; ++n) {
        const auto segment = at<Elf64_Phdr>(file, header->e_phoff + n * sizeof(Elf64_Phdr));
        if (!segment) return {};
        if (segment->p_type != PT_NOTE || segment->p_offset > file.size() || file.size() - segment->p_offset < segment->p_filesz)
            continue;
        if (const auto id = build_id_in_notes(file.subspan(segment->p_offset, segment->p_filesz))) return id;
    }
    return {};
}

}  // namespace

std::string library_identity(const std::filesystem::path& path) {
    const MappedFile file(path);
    if (const auto id = build_id(file.bytes())) return fmt::format("build-id:{:02x}", fmt::join(*id, ""));
    return "sha256:" + to_hex(sha256(file.bytes()));
}

}  // namespace flashtp
