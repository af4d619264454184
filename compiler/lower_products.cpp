#include "compiler/lower_products.hpp"

#include <algorithm>
#include <functional>
#include <map>
#include <optional>

#include "compiler/kernel_builder.hpp"
#include "compiler/lower_task.hpp"
#include "compiler/products.hpp"
#include "ir/error.hpp"

namespace flashtp {

namespace {

/// Where a block of a product stands: some edges, hidden channels and vectors of columns.
struct BlockPlace {
    std::vector<Affine> edges;      ///< the caller's numbers
    std::vector<Affine> positions;  ///< of the same edges in the order of receivers
    Affine hidden, column;          ///< the first of each
    int hiddens = 1, vectors = 1;
    int active = 1;                 ///< lanes of the last vector
};

class ProductLowering {
  public:
    ProductLowering(const EdgeProgram& program, const ProductBlocks& blocks, BufferTable& buffers, int lanes, bool convolution)
        : program_(program), blocks_(blocks), buffers_(buffers), lanes_(lanes), convolution_(convolution) {}

    /// `stored`: nothing was written to the destination's rows before.
    KernelTask run(const std::vector<Product>& products, std::string name, bool stored) {
        products_ = &products;
        dst_ = products[0].dst;
        builder_.task.name = std::move(name);
        builder_.task.ints = {"chunk", "row_begin", "row_end"};
        const BlockPlace at{{}, {}, Affine(0), Affine(0), 1, 1, lanes_};
        mode_ = !dst_.edge ? StoreMode::atomic : stored ? StoreMode::store : StoreMode::add;
        if (dst_.column)
            by_columns(at, builder_.task.body);
        else
            by_panels(at, builder_.task.body);
        return std::move(builder_.task);
    }

  private:
    using Body = std::function<void(const BlockPlace&, Block&)>;

    // ---- loops over blocks

    void by_columns(const BlockPlace& at, Block& block) {
        for_columns(at, blocks_.vectors, block, [&](const BlockPlace& columns, Block& inner) {
            if (!dst_.edge)
                return for_hidden(columns, blocks_.rows, inner, [&](const BlockPlace& b, Block& body) { sum_edges(b, body); });
            for_edges(columns, blocks_.rows, inner, [&](const BlockPlace& b, Block& body) { sum_hidden(b, body); });
        });
    }

    // Panels of columns: the block's rows of the tile stay near while the hidden channels pass.
    void by_panels(const BlockPlace& at, Block& block) {
        const std::int64_t columns = (*products_)[0].columns;
        for (std::int64_t first = 0; first < columns; first += blocks_.panel) {
            const std::int64_t last = std::min(columns, first + blocks_.panel);
            for_edges(at, blocks_.rows, block, [&](const BlockPlace& rows, Block& inner) {
                for_hidden(rows, blocks_.sums, inner, [&](const BlockPlace& b, Block& body) { sum_columns(b, first, last, body); });
            });
            mode_ = StoreMode::add;
        }
    }

    void for_columns(BlockPlace at, int vectors, Block& block, const Body& body) {
        const std::int64_t columns = (*products_)[0].columns, step = std::int64_t{vectors} * lanes_, full = columns / step * step;
        at.vectors = vectors;
        at.active = lanes_;
        if (full > 0) {
            const IntId var = builder_.new_int("column");
            For loop{var, Affine(0), Affine(full), step, {}};
            at.column = Affine::of(var);
            body(at, loop.body);
            emit(block, std::move(loop));
        }
        if (full == columns) return;
        at.column = Affine(full);
        at.vectors = static_cast<int>((columns - full + lanes_ - 1) / lanes_);
        at.active = static_cast<int>(columns - full - std::int64_t{at.vectors - 1} * lanes_);
        body(at, block);
    }

    void for_hidden(BlockPlace at, int count, Block& block, const Body& body) {
        if (!dst_.hidden) return body(at, block);
        const std::int64_t hidden = (*products_)[0].hidden, full = hidden / count * count;
        at.hiddens = count;
        if (full > 0) {
            const IntId var = builder_.new_int("hidden");
            For loop{var, Affine(0), Affine(full), count, {}};
            at.hidden = Affine::of(var);
            body(at, loop.body);
            emit(block, std::move(loop));
        }
        if (full == hidden) return;
        at.hidden = Affine(full);
        at.hiddens = static_cast<int>(hidden - full);
        body(at, block);
    }

    // Blocks of half the size take what is left, down to single edges.
    void for_edges(const BlockPlace& at, int most, Block& block, const Body& body) {
        const IntId done = builder_.new_int("done");
        emit(block, IntLet{done, Affine::of(int_row_begin)});
        for (int count = most; count > 0; count /= 2) {
            const IntId var = builder_.new_int("p");
            For loop{var, Affine::of(done), Affine::of(int_row_end) + Affine(1 - count), count, {}};
            BlockPlace rows = at;
            for (int i = 0; i < count; ++i) add_edge(rows, Affine::of(var) + Affine(i), loop.body);
            body(rows, loop.body);
            if (count > 1) emit(loop.body, IntSet{done, Affine::of(var) + Affine(count)});
            emit(block, std::move(loop));
        }
    }

    void add_edge(BlockPlace& at, const Affine& position, Block& block) {
        at.positions.push_back(position);
        at.edges.push_back(position);
        if (!convolution_ || !reads_layer_rows()) return;
        const IntId edge = builder_.new_int("e");
        emit(block, IntLoad{edge, buffers_.edge(), position, true});
        at.edges.back() = Affine::of(edge);
    }

    bool is_layer_row(const Factor& f) const { return f.edge && !program_.operands[f.operand].tile; }
    bool reads_layer_rows() const {
        return is_layer_row(dst_) || std::ranges::any_of(*products_, [&](const Product& p) {
                   return is_layer_row(p.a) || (p.b && is_layer_row(*p.b));
               });
    }

    // ---- sums over the third axis

    bool is_summed(const Product& p) const { return p.b || !dst_.edge; }

    void sum_hidden(const BlockPlace& at, Block& block) {
        const std::int64_t hidden = (*products_)[0].hidden;
        const std::vector<RegId> sums = zeroed(at, block);
        const IntId var = builder_.new_int("k");
        For loop{var, Affine(0), Affine(hidden), 1, {}};
        BlockPlace inner = at;
        inner.hidden = Affine::of(var);
        add_products(inner, sums, loop.body);
        if (!loop.body.empty()) emit(block, std::move(loop));
        scale(sums, block);
        add_vectors(at, sums, block);
        store(at, sums, block);
    }

    void sum_edges(const BlockPlace& at, Block& block) {
        const std::vector<RegId> sums = zeroed(at, block);
        for_edges(at, 1, block, [&](const BlockPlace& edge, Block& body) { add_products(edge, sums, body); });
        scale(sums, block);
        store(at, sums, block);
    }

    void sum_columns(const BlockPlace& at, std::int64_t first, std::int64_t last, Block& block) {
        const std::vector<RegId> partial = zeroed(at, block);
        const std::int64_t full = first + (last - first) / lanes_ * lanes_;
        BlockPlace inner = at;
        if (full > first) {
            const IntId var = builder_.new_int("column");
            For loop{var, Affine(first), Affine(full), lanes_, {}};
            inner.column = Affine::of(var);
            add_products(inner, partial, loop.body);
            emit(block, std::move(loop));
        }
        if (full < last) {
            inner.column = Affine(full);
            inner.active = static_cast<int>(last - full);
            add_products(inner, partial, block);
        }
        scale(partial, block);
        LaneSum sum{{}, partial};
        for (std::size_t n = 0; n < partial.size(); ++n) sum.dst.push_back(builder_.new_register("sum", true));
        emit(block, sum);
        store(at, sum.dst, block);
    }

    // ---- blocks in registers

    int count(const BlockPlace& at, const Factor& f) const {
        return (f.edge ? static_cast<int>(at.positions.size()) : 1) * (f.hidden ? at.hiddens : 1) * (f.column ? at.vectors : 1);
    }

    /// Calls visit(edge, hidden, vector) for every register of a factor's block, in the order they are numbered.
    template <class Visit>
    void for_each(const BlockPlace& at, const Factor& f, Visit visit) const {
        for (int i = 0; i < (f.edge ? static_cast<int>(at.positions.size()) : 1); ++i)
            for (int j = 0; j < (f.hidden ? at.hiddens : 1); ++j)
                for (int c = 0; c < (f.column ? at.vectors : 1); ++c) visit(i, j, c);
    }

    int number(const BlockPlace& at, const Factor& f, int i, int j, int c) const {
        int n = f.edge ? i : 0;
        n = n * (f.hidden ? at.hiddens : 1) + (f.hidden ? j : 0);
        return n * (f.column ? at.vectors : 1) + (f.column ? c : 0);
    }

    Access access(const BlockPlace& at, const Factor& f, int i, int j, int c) const {
        const Operand& operand = program_.operands[f.operand];
        Access to;
        to.buffer = buffers_.operand(f.operand);
        to.base = Affine(f.first);
        if (f.edge) to.base += (operand.tile ? at.positions : at.edges)[i].times(operand.width);
        if (f.hidden) to.base += (at.hidden + Affine(j)).times(f.hidden_stride);
        if (f.column) to.base += at.column + Affine(std::int64_t{c} * lanes_);
        to.lane_stride = f.column ? 1 : 0;
        to.active = f.column && c == at.vectors - 1 ? at.active : lanes_;
        return to;
    }

    std::vector<RegId> load(const BlockPlace& at, const Factor& f, Block& block) {
        std::vector<RegId> registers;
        for_each(at, f, [&](int i, int j, int c) {
            registers.push_back(builder_.new_register(program_.operands[f.operand].name, !f.column));
            emit(block, Load{{registers.back()}, access(at, f, i, j, c)});
        });
        return registers;
    }

    std::vector<RegId> zeroed(const BlockPlace& at, Block& block) {
        std::vector<RegId> sums;
        for (int n = 0; n < count(at, dst_); ++n) {
            sums.push_back(builder_.new_register("sum", false));
            emit(block, Move{sums.back(), 0.0});
        }
        return sums;
    }

    void add_products(const BlockPlace& at, const std::vector<RegId>& sums, Block& block) {
        for (const Product& p : *products_) {
            if (!is_summed(p)) continue;
            const std::vector<RegId> a = load(at, p.a, block), b = p.b ? load(at, *p.b, block) : std::vector<RegId>{};
            for_each(at, dst_, [&](int i, int j, int c) {
                const RegId sum = sums[number(at, dst_, i, j, c)];
                const Arg first = a[number(at, p.a, i, j, c)];
                emit(block, Fma{sum, first, p.b ? Arg(b[number(at, *p.b, i, j, c)]) : Arg(1.0), sum});
            });
        }
    }

    /// All sums of a group have one coefficient: derivatives keep the layer's.
    void scale(const std::vector<RegId>& sums, Block& block) {
        std::optional<double> coefficient;
        for (const Product& p : *products_) {
            if (!is_summed(p)) continue;
            if (coefficient && *coefficient != p.coefficient)
                internal_error("two coefficients in one sum\n{}", to_string(program_));
            coefficient = p.coefficient;
        }
        if (!coefficient || *coefficient == 1) return;
        for (const RegId sum : sums) emit(block, Mul{sum, sum, *coefficient});
    }

    // A bias: one row for all edges.
    void add_vectors(const BlockPlace& at, const std::vector<RegId>& sums, Block& block) {
        for (const Product& p : *products_) {
            if (is_summed(p)) continue;
            const std::vector<RegId> row = load(at, p.a, block);
            for_each(at, dst_, [&](int i, int j, int c) {
                const RegId sum = sums[number(at, dst_, i, j, c)];
                emit(block, Fma{sum, row[number(at, p.a, i, j, c)], p.coefficient, sum});
            });
        }
    }

    void store(const BlockPlace& at, const std::vector<RegId>& sums, Block& block) {
        for_each(at, dst_, [&](int i, int j, int c) {
            emit(block, Store{access(at, dst_, i, j, c), {sums[number(at, dst_, i, j, c)]}, mode_});
        });
    }

    const EdgeProgram& program_;
    const ProductBlocks& blocks_;
    BufferTable& buffers_;
    int lanes_;
    bool convolution_;
    const std::vector<Product>* products_ = nullptr;
    Factor dst_;
    StoreMode mode_ = StoreMode::store;
    TaskBuilder builder_;
};

}  // namespace

Kernel lower_products(const EdgeProgram& program, const Schedule& schedule, const Target& target, const KernelInfo& info,
                      bool convolution) {
    Kernel kernel = empty_kernel(info, target);
    BufferTable buffers(program, info.dtype, convolution);
    std::vector<bool> written(program.operands.size(), false);
    for (const std::vector<Product>& group : read_products(program)) {
        const OperandId dst = group[0].dst.operand;
        // Columns of a tile are written once; sums over columns meet in the layer's rows.
        const bool stored = group[0].dst.column || !written[dst];
        written[dst] = true;
        const std::string name = fmt::format("{}{}", program.operands[dst].name, kernel.tasks.size());
        kernel.tasks.push_back(
            ProductLowering(program, schedule.products, buffers, kernel.lanes, convolution).run(group, name, stored));
        if (!group[0].dst.edge) buffers.buffers[dst].zeroed = buffers.buffers[dst].shared_rows = true;
    }
    kernel.buffers = std::move(buffers.buffers);
    return kernel;
}

}  // namespace flashtp
