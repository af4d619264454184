// Products over a tile of edges, with the halves that tensor cores get: what they round is rounded here, sums are exact.
#include <cmath>

#include "ir/interpret_warp.hpp"

namespace flashtp::interpreter {

namespace {

/// The nearest of 11 bits, as far down as halves go.
double half(double v) {
    if (v == 0 || !std::isfinite(v)) return v;
    const double unit = std::ldexp(1.0, std::max(std::ilogb(v), -14) - 10);
    return std::nearbyint(v / unit) * unit;
}

struct Halves {
    double high = 0, low = 0;
    explicit Halves(double v) : high(half(v)), low(half(v - high)) {}
    friend double operator*(const Halves& a, const Halves& b) { return a.low * b.high + a.high * b.low + a.high * b.high; }
};

/// Numbers are scaled by a power of two so that the greatest of them is about 2^14: none overflows, and small ones keep their bits.
double scale_of(double greatest) {
    constexpr int wanted = 14, most = 100;
    return std::ldexp(1.0, greatest > 0 ? std::min(wanted - std::ilogb(greatest), most) : most);
}

template <class T>
double greatest_of(const std::vector<T>& numbers, std::size_t count) {
    double greatest = 0;
    for (std::size_t n = 0; n < count; ++n) greatest = std::max(greatest, std::abs(static_cast<double>(numbers[n])));
    return greatest;
}

}  // namespace

template <class T>
std::vector<T> Warp<T>::column(const BlockMatrix& matrix, std::int64_t number) {
    const std::int64_t first = matrix.first[static_cast<std::size_t>(number / matrix.run)];
    const std::int64_t at = first + matrix.chunk_step * integer(int_chunk) + number % matrix.run;
    std::vector<T> numbers;
    for (std::int64_t k = 0; k < matrix.rows; ++k)
        numbers.push_back(global_.get<T>(site_, matrix.buffer, k * matrix.pitch + at, some_lane));
    numbers.push_back(matrix.bias ? global_.get<T>(site_, *matrix.bias, at, some_lane) : T(0));
    return numbers;
}

template <class T>
std::size_t Warp<T>::operator()(const TileProduct* s) {
    const BlockMatrix& matrix = plan_.task->matrices[static_cast<std::size_t>(s->matrix)];
    const std::int64_t rows = value(s->rows), width = matrix.width();
    if (rows < 0 || rows > s->tile) site_.fail(fmt::format("{} rows in a tile of {}", rows, s->tile));
    std::vector<std::vector<T>> columns;
    double greatest = 0;
    for (std::int64_t c = 0; c < width; ++c) {
        columns.push_back(column(matrix, c));
        greatest = std::max(greatest, greatest_of(columns.back(), columns.back().size() - 1));
    }
    shared_.sync();
    for (std::int64_t r = 0; r < rows; ++r) product_row(*s, columns, scale_of(greatest), r);
    shared_.sync();
    return next_;
}

/// Lane and element as tensor cores have them: rows over the quads of lanes, two columns a lane.
template <class T>
void Warp<T>::put_product(const TileProduct& s, std::int64_t row, std::int64_t column, double v) {
    const SharedAccess to{s.to, row * s.to_pitch + column, static_cast<int>(row % 8 * 4 + column % 8 / 2)};
    shared_.check_write(site_, to);
    if (s.add) v += words_[shared_.read(site_, to)];
    words_[shared_.write(site_, to, s.add)] = static_cast<T>(v);
}

template <class T>
std::vector<T> Warp<T>::tile_row(const TileProduct& s, std::int64_t row, std::int64_t count) {
    std::vector<T> numbers;
    for (std::int64_t n = 0; n < count; ++n)
        numbers.push_back(words_[shared_.read(site_, {s.from, row * s.from_pitch + n, some_lane})]);
    return numbers;
}

template <class T>
void Warp<T>::product_row(const TileProduct& s, const std::vector<std::vector<T>>& columns, double scale, std::int64_t row) {
    const std::size_t width = columns.size(), depth = columns.front().size() - 1, summands = s.transposed ? width : depth;
    const std::vector<T> from = tile_row(s, row, static_cast<std::int64_t>(summands));
    const double row_scale = scale_of(greatest_of(from, summands));
    for (std::size_t to = 0; to < (s.transposed ? depth : width); ++to) {
        double sum = 0;
        for (std::size_t n = 0; n < summands; ++n)
            sum += Halves(from[n] * row_scale) * Halves((s.transposed ? columns[n][to] : columns[to][n]) * scale);
        const double bias = s.bias ? columns[to][depth] : 0;
        put_product(s, row, static_cast<std::int64_t>(to), s.factor * sum / row_scale / scale + bias);
    }
}

template std::size_t Warp<float>::operator()(const TileProduct*);
template std::size_t Warp<double>::operator()(const TileProduct*);

}  // namespace flashtp::interpreter
