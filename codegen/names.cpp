#include "codegen/names.hpp"

#include <algorithm>

namespace flashtp {
namespace {

// Keywords of C++ and CUDA, and the names that printed kernels use themselves.
// clang-format off
constexpr std::string_view reserved[] = {
    "alignas", "alignof", "and", "and_eq", "asm", "auto", "bitand", "bitor", "bool", "break", "case", "catch", "char",
    "char16_t", "char32_t", "class", "compl", "const", "const_cast", "constexpr", "continue", "decltype", "default", "delete",
    "do", "double", "dynamic_cast", "else", "enum", "explicit", "export", "extern", "false", "float", "for", "friend", "goto",
    "if", "inline", "int", "long", "mutable", "namespace", "new", "noexcept", "not", "not_eq", "nullptr", "operator", "or",
    "or_eq", "private", "protected", "public", "register", "reinterpret_cast", "return", "short", "signed", "sizeof", "static",
    "static_assert", "static_cast", "struct", "switch", "template", "this", "thread_local", "throw", "true", "try", "typedef",
    "typeid", "typename", "union", "unsigned", "using", "virtual", "void", "volatile", "wchar_t", "while", "xor", "xor_eq",
    "std", "main", "blockIdx", "blockDim", "gridDim", "threadIdx", "warpSize", "lane", "warp", "warp_in_block", "region",
    "barriers", "in_flight", "part", "parts", "part_edges", "turn", "shared_edges", "efforts", "item", "rows", "rows_per_warp", "first_row", "shared_memory", "sum", "sums", "i", "k", "buffers"};
// clang-format on

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

}  // namespace

bool is_identifier(std::string_view text) {
    return !text.empty() && !is_digit(text.front()) &&
           std::ranges::all_of(text, [](char c) { return is_letter(c) || is_digit(c); });
}

Names::Names() : taken_(std::begin(reserved), std::end(reserved)) {}

std::string Names::unique(std::string_view wanted) {
    std::string name(wanted);
    for (char& c : name)
        if (!is_letter(c) && !is_digit(c)) c = '_';
    if (name.empty() || is_digit(name.front()) || name.starts_with("__")) name.insert(0, 1, 'v');
    if (taken_.insert(name).second) return name;
    // Counting on from the last number keeps many equal names from being quadratic.
    for (int& n = last_number_.try_emplace(name, 1).first->second;;) {
        std::string numbered = name + "_" + std::to_string(++n);
        if (taken_.insert(numbered).second) return numbered;
    }
}

}  // namespace flashtp
