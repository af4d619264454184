// What names a compiled kernel: everything that can change its code, as text that a person can read and compare.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ir/kernel.hpp"

namespace flashtp {

using Digest = std::array<std::uint8_t, 32>;

Digest sha256(std::span<const std::uint8_t>);
Digest sha256(std::string_view);
std::string to_hex(const Digest&);

/// Tagged, length-prefixed fields in the order they were added: "tag:length:value\n" each. Two lists of fields with the same
/// text are the same list: a tag holds no colon, and the length says where the value ends.
class Key {
  public:
    Key& add(std::string_view tag, std::string_view value);

    const std::string& text() const { return text_; }
    Digest digest() const { return sha256(text_); }
    /// The key that has this text. Throws UserError where none has.
    static Key of_text(std::string text);
    /// 64 hexadecimal digits: the name of the cache entry.
    std::string hex() const { return to_hex(digest()); }

  private:
    std::string text_;
};

struct KeyField {
    std::string tag, value;
    friend bool operator==(const KeyField&, const KeyField&) = default;
};
/// The fields of a key's text. Throws UserError for text that no Key has.
std::vector<KeyField> key_fields(std::string_view text);

/// Changing what any field means, or how code is loaded, must change this number.
inline constexpr int key_schema = 1;

inline constexpr const char* toolchain_tag = "toolchain";

/// Adds what code for a target may use: the architecture, or triple, processor, features and vector width.
void add_target(Key&, const Target&);

/// Key of a kernel's code. The source enters as its SHA-256 and length; `toolchain` is Backend::identity. Edge counts, device
/// ordinals, paths, users and times are no part of it.
Key kernel_key(const Kernel&, std::string_view source, std::string_view toolchain);

}  // namespace flashtp
