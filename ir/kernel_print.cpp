#include "ir/kernel_print.hpp"

#include <algorithm>
#include <span>

#include <fmt/format.h>

namespace flashtp {
namespace {

/// Names where the task has them and numbers where it does not: a kernel that does not verify still prints.
class Printer {
  public:
    Printer(const Kernel& kernel, const KernelStatement* marked) : kernel_(kernel), marked_(marked) {}

    std::string take() { return fmt::to_string(out_); }
    std::size_t marked_at() const { return marked_at_; }

    void kernel();
    void task(const KernelTask&);
    void head(const KernelTask& task, const KernelStatement& s) {
        task_ = &task;
        std::visit(*this, s.node);
    }

    void operator()(const Comment& s) { put("// {}", s.text); }
    void operator()(const IntLet& s) { integer("let ", s.var), affine(" = ", s.value); }
    void operator()(const IntSet& s) { integer("set ", s.var), affine(" = ", s.value); }
    void operator()(const IntLoad& s) {
        integer(s.declare ? "let " : "set ", s.var), buffer(" = ", s.buffer), affine("[", s.index), text("]");
        if (s.identity_if_null) text(" or the index");
    }
    void operator()(const IntMin& s) { integer("let ", s.var), affine(" = min(", s.a), affine(", ", s.b), text(")"); }
    void operator()(const For& s) {
        integer("for ", s.var), affine(" = ", s.begin), affine(" .. ", s.end);
        if (s.step != 1) put(" step {}", s.step);
        if (s.teams) put(" by {} teams of lanes", s.teams);
        if (s.rounds > 1) put(" in {} rounds", s.rounds);
    }
    void operator()(const If& s) { affine("if ", s.a), affine(" < ", s.b); }

    void operator()(const Move& s) { reg(s.dst), text(" = "), arg(s.src); }
    void operator()(const Mul& s) { reg(s.dst), text(" = "), arg(s.a), text(" * "), arg(s.b); }
    void operator()(const Fma& s) { reg(s.dst), text(" = "), arg(s.a), text(" * "), arg(s.b), text(" + "), arg(s.c); }

    void operator()(const Load& s) { registers(s.dst), text(" = "), access(s.from, s.dst.size()), text(s.again ? " again" : ""); }
    void operator()(const Store& s) { access(s.to, s.src.size()), mode(s.mode), registers(s.src); }
    void operator()(const LaneSum& s) { registers(s.dst), text(" = lane_sum("), registers(s.src), text(")"); }
    void operator()(const LaneGet& s) { registers(s.dst), text(" = "), registers(s.src), affine(" of lane ", s.lane); }
    void operator()(const SpreadSums& s) {
        reg(s.dst), text(" += spread_sums("), registers(s.src), affine(") from lane ", s.first);
    }
    void operator()(const ReduceStore& s) {
        access(s.to, s.src.size()), mode(s.mode), text("lane_sum("), registers(s.src), text(")");
    }

    void operator()(const Prefetch& s) {
        text(s.write ? "prefetch to write " : "prefetch "), global(s.buffer, s.base), put(", {}", s.count);
    }
    void operator()(const CopyLanes& s) {
        text("copy ");
        if (s.to_shared) shared(s.shared, s.shared_base), text(" = "), global(s.global, s.global_base);
        if (!s.to_shared) global(s.global, s.global_base), mode(s.mode), shared(s.shared, s.shared_base);
        put(", {}", s.count);
        if (s.vector > 1) put(" by {}", s.vector);
    }
    void operator()(const IntPut& s) { text("put "), shared(s.shared, s.at), integer(" = ", s.value); }
    void operator()(const IntGet& s) { integer("get ", s.var), text(" = "), shared(s.shared, s.at); }
    void operator()(const RingBegin&) { text("ring begin"); }
    void operator()(const StageFill& s) { integer("stage fill ", s.stage), affine(", ", s.bulk_bytes), text(" bulk bytes"); }
    void operator()(const AsyncCopy& s) {
        text("async "), shared(s.shared, s.shared_base), text(" = "), global(s.global, s.global_base), put(", {}", s.count);
        if (s.bulk) text(" bulk");
        if (!s.bulk) put(" by {}", s.vector);
    }
    void operator()(const StageCommit& s) { integer("stage commit ", s.stage); }
    void operator()(const StageWait& s) {
        integer("stage wait ", s.stage);
        if (s.phase >= 0) integer(", phase ", s.phase);
    }
    void operator()(const StageNext& s) {
        integer("stage next ", s.stage);
        if (s.phase) integer(", phase ", *s.phase);
    }
    void operator()(const WindowOpen& s) {
        put("window {}", s.window), buffer(" = ", s.buffer), affine("[", s.begin), affine(" .. ", s.end), text("]");
    }
    void operator()(const WindowRead& s) { integer("let ", s.var), put(" = window {}", s.window), affine(" at ", s.position); }
    void operator()(const BulkReduce& s) {
        text("bulk "), global(s.global, s.global_base), text(s.mode == StoreMode::store ? " = " : " += "), shared(s.shared, s.shared_base), put(", {}", s.count);
        if (s.pending >= 0) put(", {} pending", s.pending);
    }
    void operator()(const BulkEnd&) { text("bulk end"); }
    void operator()(const RangeNumber& s) { integer("let ", s.var), text(" = number of range"); }
    void operator()(const PartOfEdges& s) { integer("part of edges ", s.begin), integer(" .. ", s.end); }
    void operator()(const ZerosReady&) { text("zeros ready"); }
    void operator()(const TileProduct& s) {
        text("product "), shared(s.to, 0), put(" by {}", s.to_pitch), text(" = ");
        if (s.factor != 1) put("{} * ", s.factor);
        shared(s.from, 0), put(" by {} * ", s.from_pitch), name(task_->matrices, s.matrix, 'm');
        if (s.bias) text(" + bias");
        affine(", ", s.rows), put(" of {} rows", s.tile);
    }
    void operator()(const EdgeProduct& s) {
        constexpr const char* names[] = {"tile", "rows", "matrix"};
        put("product of edges to {}", names[static_cast<int>(s.to)]), affine(" ", s.begin), affine(" .. ", s.end), text(": ");
        if (s.factor != 1) put("{} * ", s.factor);
        buffer("tile ", s.tile), text(", ");
        if (s.rows) buffer("rows ", *s.rows), text(", ");
         name(task_->matrices, s.matrix, 'm');
        if (s.add) text(", added");
        if (s.bias) text(" + bias");
    }
    void operator()(const SyncWarp&) { text("sync"); }

  private:
    void text(std::string_view s) { out_.append(s.data(), s.data() + s.size()); }
    template <class... Args>
    void put(fmt::format_string<Args...> format, Args&&... args) {
        fmt::format_to(fmt::appender(out_), format, std::forward<Args>(args)...);
    }
    template <class Named>
    void name(const std::vector<Named>& known, int id, char letter);
    void integer(std::string_view before, IntId id) { text(before), name(task_->ints, id, 'i'); }
    void buffer(std::string_view before, BufferId id) { text(before), name(kernel_.buffers, id, 'b'); }
    void reg(RegId id) { name(task_->registers, id, 'r'); }
    void arg(const Arg&);
    void registers(std::span<const RegId>);
    void affine(std::string_view before, const Affine&);
    void access(const Access&, std::size_t components);
    void global(BufferId id, const Affine& base) { buffer("", id), affine("[", base), text("]"); }
    void shared(SharedId id, const Affine& base) { text("shared "), name(task_->shared, id, 's'), affine("[", base), text("]"); }
    void mode(StoreMode);
    void block(const Block&, std::size_t depth);
    void body(const KernelStatement&, std::size_t depth);
    void buffer_line(const Buffer&);
    void matrix_line(const BlockMatrix&);

    const Kernel& kernel_;
    const KernelTask* task_ = nullptr;
    const KernelStatement* marked_;
    std::size_t marked_at_ = std::string::npos;
    fmt::memory_buffer out_;
};

const std::string& name_of(const std::string& s) { return s; }
template <class Named>
const std::string& name_of(const Named& s) {
    return s.name;
}

template <class Named>
void Printer::name(const std::vector<Named>& known, int id, char letter) {
    const auto at = static_cast<std::size_t>(id);
    if (id < 0 || at >= known.size() || name_of(known[at]).empty()) return put("{}{}", letter, id);
    text(name_of(known[at]));
}

void Printer::arg(const Arg& a) {
    if (const RegId* id = std::get_if<RegId>(&a)) return reg(*id);
    put("{}", std::get<double>(a));
}

void Printer::registers(std::span<const RegId> ids) {
    for (std::size_t n = 0; n < ids.size(); ++n) {
        if (n > 0) text(", ");
        reg(ids[n]);
    }
}

void Printer::affine(std::string_view before, const Affine& a) {
    text(before);
    bool first = true;
    const auto sign = [&](std::int64_t value) {
        if (!first) text(value < 0 ? " - " : " + ");
        if (first && value < 0) text("-");
        first = false;
    };
    for (const auto& [variable, factor] : a.terms) {
        sign(factor);
        if (factor != 1 && factor != -1)
            put("{}*", factor < 0 ? -static_cast<std::uint64_t>(factor) : static_cast<std::uint64_t>(factor));
        name(task_->ints, variable, 'i');
    }
    if (a.constant == 0 && !first) return;
    sign(a.constant);
    put("{}", a.constant < 0 ? -static_cast<std::uint64_t>(a.constant) : static_cast<std::uint64_t>(a.constant));
}

/// x[base; 3 lane; 1 k] or, with a table, x[base; 3 pairs[base + lane]; 1 k].
void Printer::access(const Access& a, std::size_t components) {
    if (a.place == Place::shared) text("shared "), name(task_->shared, a.buffer, 's');
    if (a.place == Place::global) buffer("", a.buffer);
    affine("[", a.base);
    if (a.table) put("; {} ", a.lane_stride), buffer("", *a.table), affine("[", a.table_base), text(" + lane]");
    if (!a.table && a.lane_stride != 0) put("; {} lane", a.lane_stride);
    if (components > 1) put("; {} k", a.component_stride);
    text("]");
    if (a.stored) put(" as {}", to_string(*a.stored));
    if (a.active != kernel_.lanes) put(" active {}", a.active);
}

void Printer::mode(StoreMode m) {
    if (m == StoreMode::store) return text(" = ");
    text(m == StoreMode::add ? " += " : " atomic += ");
}

void Printer::block(const Block& statements, std::size_t depth) {
    for (const KernelStatement& s : statements) {
        if (&s == marked_) marked_at_ = out_.size();
        text(&s == marked_ ? "> " : "  ");
        for (std::size_t n = 1; n < depth; ++n) text("  ");
        std::visit(*this, s.node);
        body(s, depth);
    }
}

void Printer::body(const KernelStatement& s, std::size_t depth) {
    const auto* loop = std::get_if<For>(&s.node);
    const auto* condition = std::get_if<If>(&s.node);
    if (!loop && !condition) return text("\n");
    text(" {\n");
    block(loop ? loop->body : condition->body, depth + 1);
    for (std::size_t n = 0; n < depth; ++n) text("  ");
    text("}\n");
}

void Printer::matrix_line(const BlockMatrix& m) {
    put("  {}matrix {} = ", m.written ? "written " : "", m.name), buffer("", m.buffer), put(", {} rows by {}, columns", m.rows, m.pitch);
    put(" {}", fmt::join(m.first, " "));
    if (m.chunk_step) put(" + {}*chunk", m.chunk_step);
    put(" and {} more each", m.run - 1);
    if (m.bias) buffer(", bias ", *m.bias);
    text("\n");
}

void Printer::task(const KernelTask& t) {
    task_ = &t;
    put("task {}, {} chunks\n", t.name, t.chunks);
    for (const std::string& c : t.comments) put("  # {}\n", c);
    for (const SharedBuffer& s : t.shared) put("  shared {} [{}, {})\n", s.name, s.offset, s.offset + s.size);
    for (const BlockMatrix& m : t.matrices) matrix_line(m);
    std::string uniform;
    for (const Register& r : t.registers)
        if (r.uniform) uniform += " " + r.name;
    if (!uniform.empty()) put("  uniform{}\n", uniform);
    if (kernel_.stages > 0) put("  ring by {}{}\n", to_string(t.copy), t.element_copies ? ", element copies" : "");
    if (t.windows > 0) put("  {} windows\n", t.windows);
    block(t.body, 1);
}

void Printer::buffer_line(const Buffer& b) {
    put("  {} {} {}", to_string(b.kind), b.name, b.kind == BufferKind::operand ? to_string(b.dtype) : "int32");
    if (b.operand) put(" {} [{}] @{}", to_string(b.operand->role), b.operand->width, to_string(b.operand->row));
    if (b.streaming) text(" streaming");
    if (b.zeroed) text(" zeroed");
    if (b.shared_rows) text(" shared_rows");
    if (b.kind == BufferKind::table) put(" = {}", fmt::join(b.table, " "));
    text("\n");
}

void Printer::kernel() {
    put("kernel {} for {}\n", kernel_.name, kernel_.target.name);
    for (const std::string& line : kernel_.header) put("  # {}\n", line);
    put("  {} lanes of {}, rows are {}, {} a warp\n", kernel_.lanes, to_string(kernel_.compute),
        kernel_.sums ? fmt::format("sums of {} rows", to_string(*kernel_.sums)) : kernel_.receiver_rows ? "receivers" : "edges",
        kernel_.rows_per_warp);
    put("  {} warps a block, {} blocks, {} shared elements a warp\n", kernel_.warps_per_block, kernel_.min_blocks,
        kernel_.shared_elements);
    if (kernel_.stages > 0) put("  ring of {} stages\n", kernel_.stages);
    text("buffers\n");
    for (const Buffer& b : kernel_.buffers) buffer_line(b);
    for (const KernelTask& t : kernel_.tasks) task(t);
}

/// Whole lines around a position, at most `reach` on either side.
std::string lines_around(const std::string& text, std::size_t at, int reach) {
    std::size_t begin = at, end = at;
    for (int n = 0; n <= reach && begin > 0; ++n) begin = begin < 2 ? 0 : text.rfind('\n', begin - 2) + 1;
    for (int n = 0; n <= reach && end < text.size(); ++n) end = std::min(text.find('\n', end), text.size() - 1) + 1;
    return (begin > 0 ? "...\n" : "") + text.substr(begin, end - begin) + (end < text.size() ? "...\n" : "");
}

}  // namespace

std::string_view to_string(BufferKind kind) {
    switch (kind) {
    case BufferKind::operand: return "operand";
    case BufferKind::index: return "index";
    default: return "table";
    }
}

std::string_view to_string(StoreMode mode) {
    switch (mode) {
    case StoreMode::store: return "store";
    case StoreMode::add: return "add";
    default: return "atomic";
    }
}

std::string_view to_string(CopyMechanism copy) {
    switch (copy) {
    case CopyMechanism::barrier: return "barrier";
    case CopyMechanism::groups: return "groups";
    default: return "plain";
    }
}

std::string to_string(const Kernel& kernel) {
    Printer printer(kernel, nullptr);
    printer.kernel();
    return printer.take();
}

std::string statement_text(const Kernel& kernel, const KernelTask& task, const KernelStatement& s) {
    Printer printer(kernel, nullptr);
    printer.head(task, s);
    return printer.take();
}

std::string excerpt(const Kernel& kernel, const KernelTask& task, const KernelStatement* marked) {
    constexpr std::size_t whole = 8192;
    constexpr int reach = 12;
    Printer all(kernel, marked);
    all.kernel();
    const std::string text = all.take();
    if (text.size() <= whole) return text;
    if (!marked || all.marked_at() == std::string::npos) return text.substr(0, text.rfind('\n', whole) + 1) + "...\n";
    return fmt::format("kernel {}, task {}\n", kernel.name, task.name) + lines_around(text, all.marked_at(), reach);
}

}  // namespace flashtp
