// Little-endian numbers in bytes, read with every access checked.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "ir/error.hpp"

namespace flashtp {

using Bytes = std::span<const std::uint8_t>;

inline Bytes bytes_of(std::string_view text) { return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()}; }
inline std::string_view text_of(Bytes bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }

class BinaryWriter {
  public:
    void number(std::uint64_t value, int size) {
        for (int i = 0; i < size; ++i) bytes_.push_back(static_cast<std::uint8_t>(value >> (8 * i)));
    }
    void append(Bytes bytes) { bytes_.insert(bytes_.end(), bytes.begin(), bytes.end()); }
    std::vector<std::uint8_t>& bytes() { return bytes_; }

  private:
    std::vector<std::uint8_t> bytes_;
};

/// Takes from the front; every take is checked against what is left.
class BinaryReader {
  public:
    explicit BinaryReader(Bytes bytes) : rest_(bytes) {}

    Bytes take(std::size_t size) {
        if (size > rest_.size()) user_error("it ends too early");
        const Bytes taken = rest_.first(size);
        rest_ = rest_.subspan(size);
        return taken;
    }
    std::uint64_t number(int size) {
        const Bytes taken = take(static_cast<std::size_t>(size));
        std::uint64_t value = 0;
        for (int i = 0; i < size; ++i) value |= std::uint64_t(taken[static_cast<std::size_t>(i)]) << (8 * i);
        return value;
    }

  private:
    Bytes rest_;
};

}  // namespace flashtp
