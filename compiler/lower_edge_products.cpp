#include "compiler/lower_edge_products.hpp"

#include <algorithm>
#include <map>

#include "compiler/kernel_builder.hpp"
#include "compiler/lower_task.hpp"
#include "ir/error.hpp"

namespace flashtp {

namespace {

/// Columns of a task. Their halves are in shared memory while they are multiplied with, a quarter or half of a block's; sums for a matrix
/// are in registers.
constexpr std::int64_t most_to_tile = 192, most_to_rows = 384, columns_to_matrix = 48;

std::int64_t columns_within(std::int64_t bytes, std::int64_t hidden, std::int64_t unit) {
    BlockMatrix one;
    one.rows = hidden;
    const std::int64_t columns = bytes / (4 * matrix_layout(one).pitch);
    return std::max<std::int64_t>(16, columns >= unit ? columns / unit * unit : columns / 16 * 16);
}

/// Terms that share a task: they write the same elements, one after the other.
using Terms = std::vector<const TileTerm*>;

const Operand& result_of(const TileTerm& term) {
    return term.result == TileTerm::weights ? term.tile : term.result == TileTerm::rows_gradient ? term.rows : term.matrix;
}

class EdgeProductLowering {
  public:
    struct Shape {
        int warps, blocks;  ///< of a block, and of a multiprocessor
    };
    EdgeProductLowering(const EdgeProgram& part, const Target& target, const KernelInfo& info, const char* suffix, Shape shape)
        : kernel_(empty_kernel(info, target)), buffers_(part, info.dtype, true) {
        kernel_.name += suffix;
        kernel_.windows = true;
        kernel_.warps_per_block = shape.warps;
        kernel_.min_blocks = shape.blocks;
        kernel_.rows_per_warp = 128;
    }

    /// Tasks for ranges of `step` columns and for what is left.
    void add(EdgeProduct::To to, const Terms& terms, std::int64_t step) {
        const std::int64_t columns = terms.front()->tile.width, full = columns / step;
        if (full > 0) add_task(to, terms, 0, step, full);
        if (full * step < columns) add_task(to, terms, full * step, columns - full * step, 1);
    }

    Kernel take() && {
        kernel_.buffers = std::move(buffers_.buffers);
        return std::move(kernel_);
    }

  private:
    void add_task(EdgeProduct::To to, const Terms& terms, std::int64_t first, std::int64_t columns, std::int64_t chunks) {
        TaskBuilder builder;
        builder.task.name = fmt::format("{}{}", result_of(*terms.front()).name, kernel_.tasks.size());
        builder.task.ints = {"chunk", "row_begin", "row_end"};
        builder.task.chunks = chunks;
        emit(builder.task.body, ZerosReady{});
        for (const TileTerm* term : terms) {
            EdgeProduct product{to, buffers_.named(term->tile.name), buffers_.edge(), {}};
            if (!term->without_rows()) product.rows = buffers_.named(term->rows.name);
            product.matrix = matrix(builder.task, *term, {first, columns, chunks > 1 ? columns : 0});
            product.begin = Affine::of(int_row_begin);
            product.end = Affine::of(int_row_end);
            product.factor = term->factor;
            product.add = term != terms.front();
            product.bias = term->bias.has_value();
            emit(builder.task.body, product);
        }
        kernel_.tasks.push_back(std::move(builder.task));
    }

    struct Range {
        std::int64_t first, count, chunk_step;
    };
    MatrixId matrix(KernelTask& task, const TileTerm& term, const Range& range) {
        BlockMatrix m{term.matrix.name, buffers_.named(term.matrix.name), term.hidden, term.pitch, {range.first}, range.count, range.chunk_step, {}, false};
        if (term.bias) m.bias = buffers_.named(term.bias->name);
        m.written = term.result == TileTerm::matrix_gradient;
        if (m.written) added_to(m.buffer);
        if (term.result == TileTerm::rows_gradient) added_to(buffers_.named(term.rows.name));
        task.matrices.push_back(std::move(m));
        return static_cast<MatrixId>(task.matrices.size()) - 1;
    }
    void added_to(BufferId id) {
        Buffer& buffer = buffers_.buffers[static_cast<std::size_t>(id)];
        buffer.zeroed = buffer.shared_rows = true;
    }

    Kernel kernel_;
    BufferTable buffers_;
};

}  // namespace

Kernel lower_tile_products(const EdgeProgram& before, const std::vector<TileTerm>& terms, const Target& target, const KernelInfo& info) {
    std::map<std::string, Terms> tiles;
    for (const TileTerm& term : terms)
        if (term.result == TileTerm::weights) tiles[term.tile.name].push_back(&term);
    EdgeProductLowering lowering(before, target, info, "_weights", {8, 2});
    for (const auto& [name, writers] : tiles)
        lowering.add(EdgeProduct::To::tile, writers, std::min(most_to_tile, columns_within(target.shared_bytes_per_block / 4, writers.front()->hidden, 16)));
    return std::move(lowering).take();
}

std::vector<Kernel> lower_returned_products(const EdgeProgram& after, const std::vector<TileTerm>& terms, const Target& target, const KernelInfo& info) {
    EdgeProductLowering rows(after, target, info, "_layer", {8, 1}), matrices(after, target, info, "_matrix", {4, 2});
    for (const TileTerm& term : terms) {
        const std::int64_t to_rows = std::min(most_to_rows, columns_within(target.shared_bytes_per_block / 2, term.hidden, 64));
        if (term.result == TileTerm::rows_gradient) rows.add(EdgeProduct::To::rows, {&term}, to_rows);
        if (term.result == TileTerm::matrix_gradient) matrices.add(EdgeProduct::To::matrix, {&term}, columns_to_matrix);
    }
    std::vector<Kernel> kernels;
    for (EdgeProductLowering* lowering : {&rows, &matrices}) {
        Kernel kernel = std::move(*lowering).take();
        if (!kernel.tasks.empty()) kernels.push_back(std::move(kernel));
    }
    return kernels;
}

}  // namespace flashtp
