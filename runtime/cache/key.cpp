#include "runtime/cache/key.hpp"

#include <charconv>

#include <fmt/format.h>
#include <openssl/evp.h>

#include "ir/error.hpp"

namespace flashtp {

Digest sha256(std::span<const std::uint8_t> bytes) {
    Digest digest;
    unsigned int size = 0;
    if (EVP_Digest(bytes.data(), bytes.size(), digest.data(), &size, EVP_sha256(), nullptr) != 1 || size != digest.size()) {
        internal_error("libcrypto offers no SHA-256");
    }
    return digest;
}

Digest sha256(std::string_view text) {
    return sha256(std::span(reinterpret_cast<const std::uint8_t*>(text.data()), text.size()));
}

std::string to_hex(const Digest& digest) {
    std::string hex;
    hex.reserve(2 * digest.size());
    for (const std::uint8_t byte : digest) {
        hex += "0123456789abcdef"[byte >> 4];
        hex += "0123456789abcdef"[byte & 15];
    }
    return hex;
}

Key& Key::add(std::string_view tag, std::string_view value) {
    if (tag.empty() || tag.find_first_of(":\n") != tag.npos) internal_error("\"{}\" cannot tag a field of a key", tag);
    text_.append(tag).append(":").append(fmt::to_string(value.size())).append(":").append(value).append("\n");
    return *this;
}

std::vector<KeyField> key_fields(std::string_view text) {
    std::vector<KeyField> fields;
    const auto take_until = [&](char end) {
        const std::size_t size = text.find(end);
        if (size == text.npos) user_error("a key's field has no '{}'", end);
        const std::string_view taken = text.substr(0, size);
        text.remove_prefix(size + 1);
        return taken;
    };
    while (!text.empty()) {
        const std::string_view tag = take_until(':'), digits = take_until(':');
        std::size_t size = 0;
        const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), size);
        const bool number = error == std::errc() && end == digits.data() + digits.size() && fmt::to_string(size) == digits;
        if (tag.empty() || tag.find('\n') != tag.npos || !number || size >= text.size() || text[size] != '\n') {
            user_error("a key's field is not \"tag:length:value\"");
        }
        fields.push_back({std::string(tag), std::string(text.substr(0, size))});
        text.remove_prefix(size + 1);
    }
    return fields;
}

Key Key::of_text(std::string text) {
    key_fields(text);
    Key key;
    key.text_ = std::move(text);
    return key;
}

void add_target(Key& key, const Target& target) {
    if (target.platform == Platform::cuda) {
        // The name carries the suffix of the architecture ("a", "f"), which the number does not.
        key.add("cuda-architecture", target.name);
        return;
    }
    // Not Target::name: "cpu" is another machine elsewhere. The features are what the code may use.
    std::string features;
    for (const std::string& feature : target.features) features += (features.empty() ? "" : ",") + feature;
    key.add("cpu-triple", target.triple);
    key.add("cpu-name", target.cpu);
    key.add("cpu-features", features);
    key.add("cpu-vector-bits", fmt::to_string(target.vector_bits));
}

Key kernel_key(const Kernel& kernel, std::string_view source, std::string_view toolchain) {
    Key key;
    key.add("schema", fmt::to_string(key_schema));
    add_target(key, kernel.target);
    key.add(toolchain_tag, toolchain);
    key.add("symbol", kernel.name);
    key.add("source-bytes", fmt::to_string(source.size()));
    key.add("source-sha256", to_hex(sha256(source)));
    return key;
}

}  // namespace flashtp
