// Products over tiles of edges, and the matrices that a block's warps share for them.
#include <algorithm>
#include <numeric>

#include <fmt/format.h>

#include "codegen/task_printer.hpp"
#include "ir/error.hpp"

namespace flashtp {

std::string matrix_type(const BlockMatrix& m) {
    const MatrixLayout layout = matrix_layout(m);
    return fmt::format("warp::Matrix<{}, {}, {}, {}, {}, {}, {}, {}>", m.rows, m.width(), layout.depth, layout.width,
                       layout.pitch, layout.low, layout.exponent, m.bias ? layout.bias : 0);
}

bool loads_matrices(const KernelTask& task) {
    return std::ranges::any_of(task.matrices, [](const BlockMatrix& m) { return !m.written; });
}

std::vector<std::string> matrix_loads(const KernelTask& task, const std::vector<std::string>& buffers, const std::string& chunk) {
    std::vector<std::string> lines;
    std::int64_t offset = 0;
    for (const BlockMatrix& m : task.matrices) {
        if (m.written) continue;
        const std::string first = m.chunk_step ? fmt::format(" + ({}) * {}", chunk, m.chunk_step) : "";
        const std::string bias = m.bias ? buffers[static_cast<std::size_t>(*m.bias)] + first : "nullptr";
        lines.push_back(fmt::format("warp::load_matrix<{}, {}, {}, {}>(shared_memory + {}, {}{}, {});", matrix_type(m), m.pitch,
                                    m.run, fmt::join(m.first, ", "), offset, buffers[static_cast<std::size_t>(m.buffer)], first,
                                    bias));
        offset += matrix_layout(m).bytes;
    }
    return lines;
}

namespace {

std::int64_t matrix_offset(const KernelTask& task, MatrixId matrix) {
    std::int64_t offset = 0;
    for (MatrixId m = 0; m < matrix; ++m) offset += matrix_layout(task.matrices[static_cast<std::size_t>(m)]).bytes;
    return offset;
}

}  // namespace

void TaskPrinter::operator()(const EdgeProduct& s) {
    if (!dialect_.threads) internal_error("kernel {}: products of edges are for threads of a warp", kernel_.name);
    const BlockMatrix& matrix = task_.matrices[static_cast<std::size_t>(s.matrix)];
    const auto width = [&](BufferId id) { return buffer(id).operand->width; };
    const std::int64_t tile_pitch = width(s.tile), rows_pitch = s.rows ? width(*s.rows) : 0;
    const std::int64_t aligned = std::gcd(std::gcd(tile_pitch, matrix.first[0]), std::gcd(matrix.chunk_step, std::int64_t{4}));
    const std::string column = sum(Affine(matrix.first[0]) + Affine::of(int_chunk, matrix.chunk_step));
    const std::string tile = fmt::format("{} + {}", buffers_[static_cast<std::size_t>(s.tile)], column);
    const std::string rows = s.rows ? buffers_[static_cast<std::size_t>(*s.rows)] : "nullptr", edges = fmt::format("{}, {}, {}", buffers_[static_cast<std::size_t>(s.edge)], sum(s.begin), sum(s.end));
    const std::string factor = c_literal(s.factor, DType::float32), loaded = fmt::format("matrices + {}", s.to == EdgeProduct::To::matrix ? 0 : matrix_offset(task_, s.matrix));
    switch (s.to) {
    case EdgeProduct::To::tile:
        return out_.line(fmt::format("warp::edges_to_tile<{}, {}, {}, {}, {}, {}>({}, {}, {}, {}, {}, lane);", matrix_type(matrix), tile_pitch, rows_pitch, aligned,
                                     s.add, s.bias, tile, rows, edges, loaded, factor));
    case EdgeProduct::To::rows:
        return out_.line(fmt::format("warp::edges_to_rows<{}, {}, {}, {}>({}, {}, {}, {}, {}, lane);", matrix_type(matrix), tile_pitch, rows_pitch, aligned, rows,
                                     tile, edges, loaded, factor));
    case EdgeProduct::To::matrix:
        return out_.line(fmt::format("warp::edges_to_matrix<{}, {}, {}, {}, {}, {}>({} + {}, {}, {}, {}, {}, lane);", matrix.rows, matrix.width(), matrix.pitch,
                                     tile_pitch, rows_pitch, aligned, buffers_[static_cast<std::size_t>(matrix.buffer)], column, tile, rows, edges, factor));
    }
}

void TaskPrinter::operator()(const TileProduct& s) {
    if (!dialect_.threads) internal_error("kernel {}: products over tiles are for threads of a warp", kernel_.name);
    const std::int64_t offset = matrix_offset(task_, s.matrix);
    const BlockMatrix& matrix = task_.matrices[static_cast<std::size_t>(s.matrix)];
    out_.line(fmt::format("warp::multiply<{}, {}, {}, {}, {}>({}, {}, matrices + {}, {}, lane);", matrix_type(matrix), s.tile,
                          s.to_pitch, s.from_pitch, s.bias, shared_[static_cast<std::size_t>(s.to)],
                          shared_[static_cast<std::size_t>(s.from)], offset, c_literal(s.factor, DType::float32)));
}

}  // namespace flashtp
