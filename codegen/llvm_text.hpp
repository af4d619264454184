// The text of one LLVM function: values, vectors of one element type, shuffles, and contiguous memory.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "ir/dtype.hpp"

namespace flashtp::llvm_text {

/// An SSA value ("%v12") or a constant ("zeroinitializer"); empty: no value.
using Name = std::string;

/// Appends instructions and numbers their results.
class FunctionText {
  public:
    std::string out;
    bool contract = true;  ///< a sum may take in a product that allows it: some targets ask the sum only

    template <class... Args>
    Name value(fmt::format_string<Args...> text, Args&&... args) {
        Name name = fmt::format("%v{}", next_++);
        fmt::format_to(std::back_inserter(out), "  {} = ", name);
        fmt::format_to(std::back_inserter(out), text, std::forward<Args>(args)...);
        out += '\n';
        return name;
    }
    template <class... Args>
    void line(fmt::format_string<Args...> text, Args&&... args) {
        out += "  ";
        fmt::format_to(std::back_inserter(out), text, std::forward<Args>(args)...);
        out += '\n';
    }
    /// A name that text written earlier may refer to.
    Name reserve() { return fmt::format("%v{}", next_++); }

  private:
    int next_ = 0;
};

/// A number of the type as LLVM reads it: the bits of a double, exact for both types.
std::string literal(DType dtype, double value);

/// The type of an element in memory; bfloat16 and float16 are bits until they are converted.
std::string_view scalar_type(DType);

/// Elements of one type: vectors, shuffles, loads and stores.
class Elements {
  public:
    Elements(FunctionText& text, DType dtype, bool masked_loads)
        : text_(text), dtype_(dtype), masked_loads_(masked_loads && !is_storage_only(dtype)) {}

    /// The same elements; every load and store of whole vectors and scalars happens where it stands (LLVM calls them volatile).
    Elements in_place() const {
        Elements result = *this;
        result.again_ = "volatile ";
        return result;
    }

    DType dtype() const { return dtype_; }
    std::string_view scalar() const { return scalar_type(dtype_); }
    std::string vector(int width) const { return fmt::format("<{} x {}>", width, scalar()); }
    /// Elements in 128 bits, the unit most shuffles stay within.
    int block() const { return static_cast<int>(16 / size_of(dtype_)); }

    /// Element mask[i] of the concatenation of a and b (both `width` wide, b may be empty); -1 leaves element i undefined.
    Name shuffle(const Name& a, const Name& b, int width, const std::vector<int>& mask) const;
    /// The same value; code generation does not look through it.
    Name fence(const Name& value, int width) const;
    Name splat(const Name& element, int width) const;
    Name element(const Name& vector, int width, int index) const;
    Name insert(const Name& vector, int width, const Name& element, int index) const;
    Name add(const Name& a, const Name& b, int width) const;
    Name subtract(const Name& a, const Name& b, int width) const;

    /// Pointer to element `offset` behind a pointer.
    Name at(const Name& pointer, std::int64_t offset) const;
    /// A scalar from memory.
    Name load_one(const Name& pointer) const;
    void store_one(const Name& pointer, const Name& element, bool accumulate) const;
    /// The first `count` of `width` elements from memory, the others zero; nothing behind them is touched.
    Name load(const Name& pointer, int width, int count) const;
    /// Writes or adds the first `count` of `width` elements.
    void store(const Name& pointer, const Name& value, int width, int count, bool accumulate) const;

  private:
    Name load_pieces(const Name& pointer, int width, int count) const;

    FunctionText& text_;
    DType dtype_;
    std::string_view again_;  ///< before the type of a load or store
    bool masked_loads_;  ///< the target has them; elsewhere LLVM would load element by element
};

}  // namespace flashtp::llvm_text
