// Products over a tile of edges, with the halves that tensor cores get: what they round is rounded here, sums are exact.
#include <cmath>

#include <fmt/format.h>

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
std::vector<std::vector<T>> Warp<T>::columns(const BlockMatrix& matrix) {
    std::vector<std::vector<T>> all;
    for (std::int64_t c = 0; c < matrix.width(); ++c) all.push_back(column(matrix, c));
    return all;
}

namespace {

/// All columns of a matrix have one scale; what follows the numbers of a column is its bias.
template <class T>
double scale_of_columns(const std::vector<std::vector<T>>& columns) {
    double greatest = 0;
    for (const std::vector<T>& c : columns) greatest = std::max(greatest, greatest_of(c, c.size() - 1));
    return scale_of(greatest);
}

}  // namespace

template <class T>
std::size_t Warp<T>::operator()(const TileProduct* s) {
    const std::int64_t rows = value(s->rows);
    if (rows < 0 || rows > s->tile) site_.fail(fmt::format("{} rows in a tile of {}", rows, s->tile));
    const std::vector<std::vector<T>> all = columns(plan_.task->matrices[static_cast<std::size_t>(s->matrix)]);
    const std::size_t depth = all.front().size() - 1;
    shared_.sync();
    std::vector<std::vector<T>> from;
    for (std::int64_t r = 0; r < rows; ++r) from.push_back(tile_row(*s, r, static_cast<std::int64_t>(depth)));
    shared_.sync();
    for (std::int64_t r = 0; r < rows; ++r) product_row(*s, all, from[static_cast<std::size_t>(r)], r);
    shared_.sync();
    return next_;
}

/// Lane and element as tensor cores have them: rows over the quads of lanes, two columns a lane.
template <class T>
void Warp<T>::put_product(const TileProduct& s, std::int64_t row, std::int64_t column, double v) {
    const SharedAccess to{s.to, row * s.to_pitch + column, static_cast<int>(row % 8 * 4 + column % 8 / 2)};
    shared_.check_write(site_, to);
    words_[shared_.write(site_, to, false)] = static_cast<T>(v);
}

template <class T>
std::vector<T> Warp<T>::tile_row(const TileProduct& s, std::int64_t row, std::int64_t count) {
    std::vector<T> numbers;
    for (std::int64_t n = 0; n < count; ++n)
        numbers.push_back(words_[shared_.read(site_, {s.from, row * s.from_pitch + n, some_lane})]);
    return numbers;
}

template <class T>
void Warp<T>::product_row(const TileProduct& s, const std::vector<std::vector<T>>& columns, const std::vector<T>& from, std::int64_t row) {
    const std::size_t depth = from.size();
    const double scale = scale_of_columns(columns), row_scale = scale_of(greatest_of(from, depth));
    for (std::size_t to = 0; to < columns.size(); ++to) {
        double sum = 0;
        for (std::size_t n = 0; n < depth; ++n) sum += Halves(from[n] * row_scale) * Halves(columns[to][n] * scale);
        const double bias = s.bias ? columns[to][depth] : 0;
        put_product(s, row, static_cast<std::int64_t>(to), s.factor * sum / row_scale / scale + bias);
    }
}

// ---- over edges in global memory

template <class T>
std::vector<T> Warp<T>::global_row(BufferId id, std::int64_t row, std::int64_t first, std::int64_t count) {
    const std::int64_t at = row * plan_.kernel->buffers[static_cast<std::size_t>(id)].operand->width + first;
    std::vector<T> numbers;
    for (std::int64_t n = 0; n < count; ++n) numbers.push_back(global_.get<T>(site_, id, at + n, some_lane));
    return numbers;
}

template <class T>
std::size_t Warp<T>::operator()(const EdgeProduct* s) {
    std::vector<std::int64_t> edges;
    for (std::int64_t p = value(s->begin); p < value(s->end); ++p) edges.push_back(global_.integer(site_, s->edge, p, true, some_lane));
    switch (s->to) {
    case EdgeProduct::To::tile: to_tile(*s, edges); break;
    case EdgeProduct::To::rows: to_rows(*s, edges); break;
    case EdgeProduct::To::matrix: to_matrix(*s, edges); break;
    }
    return next_;
}

namespace {

/// The sum over k of a[k] * b[k] by halves.
template <class T>
double product_of_halves(const std::vector<T>& a, double a_scale, const std::vector<T>& b, double b_scale) {
    double sum = 0;
    for (std::size_t k = 0; k < a.size(); ++k) sum += Halves(a[k] * a_scale) * Halves(b[k] * b_scale);
    return sum / a_scale / b_scale;
}

}  // namespace

template <class T>
void Warp<T>::to_tile(const EdgeProduct& s, const std::vector<std::int64_t>& edges) {
    const BlockMatrix& matrix = plan_.task->matrices[static_cast<std::size_t>(s.matrix)];
    const std::vector<std::vector<T>> all = columns(matrix);
    const std::int64_t width = plan_.kernel->buffers[static_cast<std::size_t>(s.tile)].operand->width;
    const double scale = scale_of_columns(all);
    for (std::size_t n = 0; n < edges.size(); ++n) {
        const std::vector<T> row = global_row(*s.rows, edges[n], 0, matrix.rows);
        const std::int64_t to = (value(s.begin) + static_cast<std::int64_t>(n)) * width + matrix.first[0] + matrix.chunk_step * integer(int_chunk);
        for (std::size_t c = 0; c < all.size(); ++c) {
            const double v = s.factor * product_of_halves(row, scale_of(greatest_of(row, row.size())), all[c], scale) + (s.bias ? all[c].back() : 0);
            global_.put(site_, s.tile, to + static_cast<std::int64_t>(c), static_cast<T>(v), s.add ? StoreMode::add : StoreMode::store, writer_, some_lane);
        }
    }
}

template <class T>
void Warp<T>::to_rows(const EdgeProduct& s, const std::vector<std::int64_t>& edges) {
    const BlockMatrix& matrix = plan_.task->matrices[static_cast<std::size_t>(s.matrix)];
    const std::vector<std::vector<T>> all = columns(matrix);
    const std::int64_t width = plan_.kernel->buffers[static_cast<std::size_t>(*s.rows)].operand->width;
    const double scale = scale_of_columns(all);
    for (std::size_t n = 0; n < edges.size(); ++n) {
        const std::vector<T> row = global_row(s.tile, value(s.begin) + static_cast<std::int64_t>(n), matrix.first[0] + matrix.chunk_step * integer(int_chunk), matrix.width());
        for (std::int64_t k = 0; k < matrix.rows; ++k) {
            std::vector<T> of_matrix;
            for (const std::vector<T>& c : all) of_matrix.push_back(c[static_cast<std::size_t>(k)]);
            const double v = s.factor * product_of_halves(row, scale_of(greatest_of(row, row.size())), of_matrix, scale);
            global_.put(site_, *s.rows, edges[n] * width + k, static_cast<T>(v), StoreMode::atomic, writer_, some_lane);
        }
    }
}

/// The scales are those of all edges of the warp, where a GPU has one for every 16.
template <class T>
void Warp<T>::to_matrix(const EdgeProduct& s, const std::vector<std::int64_t>& edges) {
    const BlockMatrix& matrix = plan_.task->matrices[static_cast<std::size_t>(s.matrix)];
    const std::int64_t first = matrix.first[0] + matrix.chunk_step * integer(int_chunk);
    std::vector<std::vector<T>> hidden(static_cast<std::size_t>(matrix.rows)), weights(static_cast<std::size_t>(matrix.width()));
    for (std::size_t n = 0; n < edges.size(); ++n) {
        const std::vector<T> row = s.rows ? global_row(*s.rows, edges[n], 0, matrix.rows) : std::vector<T>{1};
        const std::vector<T> tile = global_row(s.tile, value(s.begin) + static_cast<std::int64_t>(n), first, matrix.width());
        for (std::size_t k = 0; k < row.size(); ++k) hidden[k].push_back(row[k]);
        for (std::size_t c = 0; c < tile.size(); ++c) weights[c].push_back(tile[c]);
    }
    for (std::size_t k = 0; k < hidden.size(); ++k)
        for (std::size_t c = 0; c < weights.size(); ++c) {
            const double v = s.factor * product_of_halves(hidden[k], scale_of(greatest_of(hidden[k], edges.size())), weights[c],
                                                          scale_of(greatest_of(weights[c], edges.size())));
            global_.put(site_, matrix.buffer, static_cast<std::int64_t>(k) * matrix.pitch + first + static_cast<std::int64_t>(c), static_cast<T>(v),
                        StoreMode::atomic, writer_, some_lane);
        }
}

template std::size_t Warp<float>::operator()(const EdgeProduct*);
template std::size_t Warp<double>::operator()(const EdgeProduct*);
template std::size_t Warp<float>::operator()(const TileProduct*);
template std::size_t Warp<double>::operator()(const TileProduct*);

}  // namespace flashtp::interpreter
