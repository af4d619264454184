#include "codegen/llvm_text.hpp"

#include <algorithm>
#include <bit>
#include <numeric>

namespace flashtp::llvm_text {
namespace {

std::string mask_text(const std::vector<int>& mask) {
    std::string text;
    for (const int index : mask) {
        if (!text.empty()) text += ", ";
        text += index < 0 ? "i32 poison" : fmt::format("i32 {}", index);
    }
    return text;
}

std::vector<int> iota(int count, int first = 0) {
    std::vector<int> indices(count);
    std::iota(indices.begin(), indices.end(), first);
    return indices;
}

/// The powers of two that make up a length, largest first: a partial vector is moved in these pieces.
std::vector<int> pieces(int count) {
    std::vector<int> sizes;
    for (; count > 0; count -= sizes.back()) sizes.push_back(static_cast<int>(std::bit_floor(static_cast<unsigned>(count))));
    return sizes;
}

}  // namespace

std::string literal(DType dtype, double value) {
    const double rounded = dtype == DType::float32 ? static_cast<double>(static_cast<float>(value)) : value;
    return fmt::format("0x{:016X}", std::bit_cast<std::uint64_t>(rounded));
}

std::string_view scalar_type(DType dtype) {
    constexpr std::string_view names[] = {"float", "double", "i16", "i16"};
    return names[static_cast<int>(dtype)];
}

Name Elements::shuffle(const Name& a, const Name& b, int width, const std::vector<int>& mask) const {
    return text_.value("shufflevector {0} {1}, {0} {2}, <{3} x i32> <{4}>", vector(width), a, b.empty() ? "poison" : b,
                       mask.size(), mask_text(mask));
}

Name Elements::fence(const Name& value, int width) const {
    return text_.value("call {0} @llvm.arithmetic.fence.v{1}f{2}({0} {3})", vector(width), width, 8 * size_of(dtype_), value);
}

Name Elements::splat(const Name& element, int width) const {
    const Name first = insert("poison", width, element, 0);
    return text_.value("shufflevector {0} {1}, {0} poison, <{2} x i32> zeroinitializer", vector(width), first, width);
}

Name Elements::element(const Name& value, int width, int index) const {
    return text_.value("extractelement {} {}, i64 {}", vector(width), value, index);
}

Name Elements::insert(const Name& value, int width, const Name& element, int index) const {
    return text_.value("insertelement {} {}, {} {}, i64 {}", vector(width), value, scalar(), element, index);
}

Name Elements::add(const Name& a, const Name& b, int width) const {
    return text_.value("fadd{} {} {}, {}", text_.contract ? " contract" : "", vector(width), a, b);
}

Name Elements::subtract(const Name& a, const Name& b, int width) const {
    return text_.value("fsub{} {} {}, {}", text_.contract ? " contract" : "", vector(width), a, b);
}

Name Elements::at(const Name& pointer, std::int64_t offset) const {
    return offset == 0 ? pointer : text_.value("getelementptr {}, ptr {}, i64 {}", scalar(), pointer, offset);
}

Name Elements::load_one(const Name& pointer) const {
    return text_.value("load {}{}, ptr {}, align {}", again_, scalar(), pointer, size_of(dtype_));
}

void Elements::store_one(const Name& pointer, const Name& element, bool accumulate) const {
    Name sum = element;
    if (accumulate) sum = text_.value("fadd{} {} {}, {}", text_.contract ? " contract" : "", scalar(), load_one(pointer), element);
    text_.line("store {} {}, ptr {}, align {}", scalar(), sum, pointer, size_of(dtype_));
}

Name Elements::load(const Name& pointer, int width, int count) const {
    if (count <= 0) return "zeroinitializer";
    if (count >= width) return text_.value("load {}{}, ptr {}, align {}", again_, vector(width), pointer, size_of(dtype_));
    if (!masked_loads_) return load_pieces(pointer, width, count);
    std::string mask;
    for (int i = 0; i < width; ++i) mask += fmt::format("{}i1 {}", i ? ", " : "", i < count ? 1 : 0);
    return text_.value("call {0} @llvm.masked.load.v{1}f{2}.p0(ptr {3}, i32 {4}, <{1} x i1> <{5}>, {0} zeroinitializer)",
                       vector(width), width, 8 * size_of(dtype_), pointer, size_of(dtype_), mask);
}

Name Elements::load_pieces(const Name& pointer, int width, int count) const {
    Name result;
    int offset = 0;
    for (const int size : pieces(count)) {
        const Name piece = load(at(pointer, offset), size, size);
        std::vector<int> widen(width, result.empty() ? size : -1);  // index `size` is the first zero of the second operand
        for (int i = 0; i < size; ++i) widen[offset + i] = i;
        const Name wide = shuffle(piece, "zeroinitializer", size, widen);
        std::vector<int> merge = iota(width);
        for (int i = 0; i < size; ++i) merge[offset + i] = width + offset + i;
        result = result.empty() ? wide : shuffle(result, wide, width, merge);
        offset += size;
    }
    return result;
}

void Elements::store(const Name& pointer, const Name& value, int width, int count, bool accumulate) const {
    int offset = 0;
    // Additions load the same pieces that they store: a wider load behind a narrower store would wait for the cache.
    for (const int size : pieces(std::min(count, width))) {
        const Name place = at(pointer, offset);
        Name piece = size == width ? value : shuffle(value, "", width, iota(size, offset));
        if (accumulate) piece = add(load(place, size, size), piece, size);
        text_.line("store {}{} {}, ptr {}, align {}", again_, vector(size), piece, place, size_of(dtype_));
        offset += size;
    }
}

}  // namespace flashtp::llvm_text
