#include "codegen/emit_c.hpp"

#include <algorithm>
#include <functional>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "codegen/effort.hpp"
#include "codegen/task_printer.hpp"
#include "ir/error.hpp"

namespace flashtp {
namespace {

bool is_argument(const Buffer& b) { return b.kind != BufferKind::table; }

bool stores_in_bulk(const Block& block) {
    return std::ranges::any_of(block, [](const KernelStatement& s) {
        if (const auto* loop = std::get_if<For>(&s.node)) return stores_in_bulk(loop->body);
        if (const auto* branch = std::get_if<If>(&s.node)) return stores_in_bulk(branch->body);
        const auto* bulk = std::get_if<BulkReduce>(&s.node);
        return bulk && bulk->mode == StoreMode::store;
    });
}

class KernelPrinter {
  public:
    KernelPrinter(const Kernel& kernel, const Dialect& dialect) : kernel_(kernel), dialect_(dialect) {
        if (!is_identifier(kernel.name)) internal_error("kernel name {:?} is not an identifier", kernel.name);
        if (dialect.threads && kernel.lanes != warp_size)
            internal_error("kernel {} has {} lanes; a warp has {}", kernel.name, kernel.lanes, warp_size);
        names_.unique(kernel.name);
        for (const Buffer& b : kernel.buffers) buffers_.push_back(names_.unique(b.name));
        for (const KernelTask& t : kernel.tasks) functions_.push_back(names_.unique("task_" + t.name));
    }

    std::string print() {
        for (const std::string& text : kernel_.header) out_.comment(text);
        out_.verbatim(dialect_.prelude);
        out_.verbatim(shares_edges(kernel_) ? dialect_.prelude_shares : dialect_.prelude_parts);
        const bool of_edges = has_edge_products(kernel_);
        if (of_edges || matrix_bytes(kernel_) > 0) out_.verbatim(dialect_.prelude_products);
        if (std::ranges::any_of(kernel_.tasks, [](const KernelTask& t) { return stores_in_bulk(t.body); }))
            out_.verbatim(dialect_.prelude_bulk_stores);
        if (std::ranges::any_of(kernel_.buffers, [](const Buffer& b) { return is_storage_only(b.dtype); })) storage_prelude();
        if (of_edges) out_.verbatim(dialect_.prelude_edge_products);
        tables();
        for (std::size_t n = 0; n < kernel_.tasks.size(); ++n) {
            out_.line();
            TaskPrinter(kernel_, kernel_.tasks[n], dialect_, buffers_, names_, out_).print(functions_[n]);
        }
        out_.line();
        dialect_.threads ? cuda_entry() : cpp_entry();
        return out_.take();
    }

  private:
    void storage_prelude();
    void tables();
    std::string arguments() const;
    void cuda_entry();
    void cuda_matrices();
    void cuda_rows();
    void cuda_rows_of_launch();
    void cuda_rows_of_window();
    void cuda_rows_of_share();
    void cuda_cases(const std::function<void(std::size_t task, const std::string& chunk)>&);
    void cuda_switch();
    void cpp_entry();
    std::int64_t region_bytes() const {
        const auto bytes = kernel_.shared_elements * static_cast<std::int64_t>(size_of(kernel_.compute));
        return (bytes + 127) / 128 * 128;
    }

    const Kernel& kernel_;
    const Dialect& dialect_;
    SourceWriter out_;
    Names names_;
    std::vector<std::string> buffers_, functions_;
};

void KernelPrinter::storage_prelude() {
    if (dialect_.prelude_storage.empty()) user_error("kernels in {} have no bfloat16 and no float16", dialect_.name);
    out_.verbatim(dialect_.prelude_storage);
}

void KernelPrinter::tables() {
    constexpr std::size_t entries_a_line = 24;
    for (std::size_t b = 0; b < buffers_.size(); ++b) {
        const std::vector<std::int32_t>& table = kernel_.buffers[b].table;
        if (kernel_.buffers[b].kind != BufferKind::table) continue;
        out_.line();
        out_.open(fmt::format("{} {}[{}] =", dialect_.table_qualifiers, buffers_[b], table.size()));
        for (std::size_t n = 0; n < table.size(); n += entries_a_line) {
            std::string line;
            for (std::size_t k = n; k < std::min(n + entries_a_line, table.size()); ++k) line += fmt::format("{}, ", table[k]);
            line.pop_back();
            out_.line(line);
        }
        out_.close(";");
    }
}

std::string KernelPrinter::arguments() const {
    std::string text;
    for (std::size_t b = 0; b < buffers_.size(); ++b)
        if (is_argument(kernel_.buffers[b])) text += buffers_[b] + ", ";
    return text;
}

// Lanes that have no rows leave at once: nothing after this point waits for the rest of the block.
void KernelPrinter::cuda_rows() {
    if (matrix_bytes(kernel_) > 0) cuda_matrices();
    out_.line("const int warp_in_block = warp::uniform(static_cast<int>(threadIdx.x) / 32), lane = static_cast<int>(threadIdx.x) % 32;");
    if (shares_edges(kernel_)) cuda_rows_of_share();
    else kernel_.windows && kernel_.receiver_rows ? cuda_rows_of_window() : cuda_rows_of_launch();
    const std::string type(c_type(kernel_.compute));
    const std::int64_t matrices = matrix_bytes(kernel_);
    if (matrices == 0 && (kernel_.shared_elements > 0 || kernel_.stages > 0))
        out_.line("extern __shared__ __align__(128) unsigned char shared_memory[];");
    if (kernel_.shared_elements > 0)
        out_.line(fmt::format("{0}* const region = reinterpret_cast<{0}*>(shared_memory + {2}warp_in_block * {1});", type,
                              region_bytes(), matrices > 0 ? fmt::format("{} + ", matrices) : ""));
    else
        out_.line(fmt::format("{}* const region = nullptr;", type));
    if (uses_barriers(kernel_))
        out_.line(fmt::format(
            "warp::barrier* const barriers = reinterpret_cast<warp::barrier*>(shared_memory + {}) + warp_in_block * {};",
            matrices + kernel_.warps_per_block * region_bytes(), kernel_.stages));
    else
        out_.line("warp::barrier* const barriers = nullptr;");
}

// Rows of edges begin where the window does.
void KernelPrinter::cuda_rows_of_launch() {
    out_.line(
        fmt::format("const long long first_row = (static_cast<long long>(blockIdx.x) * {} + warp_in_block) * rows_per_warp;",
                    kernel_.warps_per_block));
    out_.line("if (first_row >= static_cast<long long>(rows) * parts) return warp::zeros_ready();");
    out_.line("const warp::Part part(static_cast<int>(first_row % parts), parts, part_edges);");
    const char *begin = kernel_.windows ? "edge_begin + " : "", *end = kernel_.windows ? "edge_end" : "rows";
    out_.line(fmt::format("const int row_begin = {}static_cast<int>(first_row / parts);", begin));
    out_.line(fmt::format("const int row_end = {0} - row_begin < rows_per_warp ? {0} : row_begin + rows_per_warp;", end));
}

void KernelPrinter::cuda_rows_of_window() {
    out_.line("if (edge_begin >= edge_end) return warp::zeros_ready();");
    out_.line(fmt::format("const warp::Share share(row_ptr, rows, edge_begin, edge_end, parts, blockIdx.x * {0} + warp_in_block, gridDim.x * {0}, lane);",
                          kernel_.warps_per_block));
    out_.line("if (share.begin >= share.end) return warp::zeros_ready();");
    out_.line("const warp::PartOfWindow part(share.part, share.parts, part_edges, edge_begin, edge_end);");
    out_.line("const int row_begin = share.begin, row_end = share.end;");
    out_.line("warp::zeros_ready();");  // tiles are ready as well
}

void KernelPrinter::cuda_rows_of_share() {
    out_.line(fmt::format("constexpr unsigned efforts[] = {{{}}};", fmt::join(efforts_before(kernel_), ", ")));
    out_.line(fmt::format("const warp::Turn turn(efforts, {}, warp_in_block);", kernel_.warps_per_block));
    out_.line("const warp::Part part = shared_edges ? warp::Part(row_ptr, rows, 0, 0x7fffffff, turn, lane) : warp::Part(0, rows, rows_per_warp, turn.warp);");
    out_.line("const int row_begin = part.row_begin, row_end = part.row_end;");
    out_.line("if (row_begin >= row_end) return warp::zeros_ready();");
}

// All warps of a block take part, also those without rows.
void KernelPrinter::cuda_matrices() {
    out_.line("extern __shared__ __align__(128) unsigned char shared_memory[];");
    cuda_cases([&](std::size_t task, const std::string& chunk) {
        for (const std::string& load : matrix_loads(kernel_.tasks[task], buffers_, chunk)) out_.line("    " + load);
    });
    out_.line("__syncthreads();");
}

void KernelPrinter::cuda_switch() {
    cuda_cases([&](std::size_t task, const std::string& chunk) {
        out_.line(fmt::format("    {}({}{}, row_begin, row_end, part, lane, region, barriers{});", functions_[task], arguments(), chunk,
                              loads_matrices(kernel_.tasks[task]) ? ", shared_memory" : ""));
    });
}

/// Every task's chunks are cases of the block's row in the grid, or of its turn.
void KernelPrinter::cuda_cases(const std::function<void(std::size_t task, const std::string& chunk)>& body) {
    const char* place = shares_edges(kernel_) ? "turn.place" : "blockIdx.y";
    out_.open(fmt::format("switch ({})", place));
    std::int64_t first = 0;
    for (std::size_t n = 0; n < functions_.size(); ++n) {
        const std::int64_t chunks = kernel_.tasks[n].chunks;
        std::string labels;
        for (std::int64_t c = 0; c < chunks; ++c) labels += fmt::format("{}case {}:", c == 0 ? "" : " ", first + c);
        out_.line(labels);
        const std::string chunk =
            fmt::format("static_cast<int>({}){}", place, first == 0 ? "" : fmt::format(" - {}", first));
        body(n, chunks == 1 ? "0" : chunk);
        out_.line("    break;");
        first += chunks;
    }
    out_.close();
}

void KernelPrinter::cuda_entry() {
    std::string parameters;
    for (std::size_t b = 0; b < buffers_.size(); ++b)
        if (is_argument(kernel_.buffers[b])) parameters += c_parameter(kernel_.buffers[b], buffers_[b], dialect_) + ", ";
    out_.line(fmt::format("extern \"C\" __global__ void __launch_bounds__({}, {})", kernel_.warps_per_block * warp_size,
                          kernel_.min_blocks));
    const char* sharing = shares_edges(kernel_) ? "bool shared_edges" : "int parts, int part_edges";
    out_.open(fmt::format("{}({}int rows, int rows_per_warp, {}{})", kernel_.name, parameters, sharing,
                          kernel_.windows         ? ", int edge_begin, int edge_end, int receivers"
                          : kernel_.receiver_rows ? ""
                                                  : ", const long long* row_count"));
    if (kernel_.windows) out_.line("warp::start_next();");
    if (kernel_.windows) out_.line("edge_end = warp::last_edge(row_ptr, receivers, edge_end);");
    if (kernel_.windows && !kernel_.receiver_rows) out_.line("rows = edge_end - edge_begin;");
    if (!kernel_.windows && !kernel_.receiver_rows) out_.line("rows = warp::filled(rows, row_count);");
    cuda_rows();
    cuda_switch();
    out_.close();
    out_.line();
    out_.line(fmt::format("extern \"C\" __global__ void {}_zero(const __grid_constant__ warp::Ranges ranges) {{ warp::zero(ranges); }}", kernel_.name));
}

void KernelPrinter::cpp_entry() {
    out_.open(
        fmt::format("extern \"C\" void {}(void* const* buffers, std::int64_t row_begin, std::int64_t row_end)", kernel_.name));
    int position = 0;
    for (std::size_t b = 0; b < buffers_.size(); ++b) {
        const Buffer& buffer = kernel_.buffers[b];
        if (!is_argument(buffer)) continue;
        const std::string_view type = buffer.kind == BufferKind::index ? "int" : c_type(buffer.dtype);
        out_.line(fmt::format("{0}* const {1} = static_cast<{0}*>(buffers[{2}]);", type, buffers_[b], position++));
    }
    out_.line(fmt::format("alignas(128) static thread_local {} region[{}];", c_type(kernel_.compute),
                          std::max<std::int64_t>(kernel_.shared_elements, 1)));
    for (std::size_t n = 0; n < functions_.size(); ++n) {
        out_.line(fmt::format("for (int chunk = 0; chunk < {}; ++chunk)", kernel_.tasks[n].chunks));
        out_.line(fmt::format("    {}({}chunk, static_cast<int>(row_begin), static_cast<int>(row_end), region);", functions_[n],
                              arguments()));
    }
    out_.close();
}

}  // namespace

std::string emit_c(const Kernel& kernel, const Dialect& dialect) { return KernelPrinter(kernel, dialect).print(); }

GridSize grid_size(const Kernel& kernel, std::int64_t rows, std::int64_t rows_per_warp) {
    const std::int64_t rows_per_block = rows_per_warp * kernel.warps_per_block;
    GridSize grid;
    grid.x = (rows + rows_per_block - 1) / rows_per_block;
    for (const KernelTask& task : kernel.tasks) grid.y += task.chunks;
    return grid;
}

}  // namespace flashtp
