// Products over tiles of edges, and the matrices that a block's warps share for them.
#include <fmt/format.h>

#include "codegen/task_printer.hpp"
#include "ir/error.hpp"

namespace flashtp {

std::string matrix_type(const BlockMatrix& m) {
    const MatrixLayout layout = matrix_layout(m);
    return fmt::format("warp::Matrix<{}, {}, {}, {}, {}, {}, {}, {}>", m.rows, m.width(), layout.depth, layout.width,
                       layout.pitch, layout.low, layout.exponent, m.bias ? layout.bias : 0);
}

std::vector<std::string> matrix_loads(const KernelTask& task, const std::vector<std::string>& buffers, const std::string& chunk) {
    std::vector<std::string> lines;
    std::int64_t offset = 0;
    for (const BlockMatrix& m : task.matrices) {
        const std::string first = m.chunk_step ? fmt::format(" + ({}) * {}", chunk, m.chunk_step) : "";
        const std::string bias = m.bias ? buffers[static_cast<std::size_t>(*m.bias)] + first : "nullptr";
        lines.push_back(fmt::format("warp::load_matrix<{}, {}, {}, {}>(shared_memory + {}, {}{}, {});", matrix_type(m), m.pitch,
                                    m.run, fmt::join(m.first, ", "), offset, buffers[static_cast<std::size_t>(m.buffer)], first,
                                    bias));
        offset += matrix_layout(m).bytes;
    }
    return lines;
}

void TaskPrinter::operator()(const TileProduct& s) {
    if (!dialect_.threads) internal_error("kernel {}: products over tiles are for threads of a warp", kernel_.name);
    std::int64_t offset = 0;
    for (MatrixId m = 0; m < s.matrix; ++m) offset += matrix_layout(task_.matrices[static_cast<std::size_t>(m)]).bytes;
    const BlockMatrix& matrix = task_.matrices[static_cast<std::size_t>(s.matrix)];
    out_.line(fmt::format("warp::multiply<{}, {}, {}, {}, {}, {}, {}>({}, {}, matrices + {}, {}, lane);", matrix_type(matrix), s.tile,
                          s.to_pitch, s.from_pitch, s.transposed, s.add, s.bias, shared_[static_cast<std::size_t>(s.to)],
                          shared_[static_cast<std::size_t>(s.from)], offset, c_literal(s.factor, DType::float32)));
}

}  // namespace flashtp
