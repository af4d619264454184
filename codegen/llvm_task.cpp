#include "codegen/llvm_task.hpp"

#include <algorithm>
#include <set>

#include "codegen/llvm_lanes.hpp"
#include "ir/error.hpp"

namespace flashtp::llvm_text {
namespace {

/// Collects what a block assigns, nested blocks included.
struct Assignments {
    std::set<RegId> registers;
    std::set<IntId> ints;

    void add(const Block& block) {
        for (const KernelStatement& statement : block) std::visit([&](const auto& node) { add(node); }, statement.node);
    }
    void add(const IntLet& node) { ints.insert(node.var); }
    void add(const IntSet& node) { ints.insert(node.var); }
    void add(const IntLoad& node) { ints.insert(node.var); }
    void add(const IntMin& node) { ints.insert(node.var); }
    void add(const WindowRead& node) { ints.insert(node.var); }
    void add(const For& node) { ints.insert(node.var), add(node.body); }
    void add(const If& node) { add(node.body); }
    void add(const Move& node) { registers.insert(node.dst); }
    void add(const Mul& node) { registers.insert(node.dst); }
    void add(const Fma& node) { registers.insert(node.dst); }
    void add(const Load& node) { registers.insert(node.dst.begin(), node.dst.end()); }
    void add(const LaneSum& node) { registers.insert(node.dst.begin(), node.dst.end()); }
    template <class Node>
    void add(const Node&) {}
};

bool is_number(const Name& name) { return !name.starts_with('%'); }

/// With AVX, constants are broadcast into registers of their own, which a loop then keeps or spills.
bool reads_coefficients(const Target& target) { return target.vector_bits >= 256; }

std::int64_t trips(std::int64_t begin, std::int64_t end, std::int64_t step) {
    return begin < end ? (end - begin + step - 1) / step : 0;
}

}  // namespace

TaskEmitter::TaskEmitter(const Kernel& kernel, const KernelTask& task, const Elements& compute, FunctionText& text,
                         bool masked_loads)
    : kernel_(kernel), task_(task), compute_(compute), text_(text), masked_loads_(masked_loads), windows_(task.windows, -1),
      coefficients_name_(fmt::format("{}.{}.coefficients", kernel.name, task.name)) {
    now_.registers.resize(task.registers.size());
    now_.ints.resize(std::max<std::size_t>(task.ints.size(), 3));
    now_.int_depth.resize(now_.ints.size());
    now_.ints[int_chunk] = "%chunk";
    now_.ints[int_row_begin] = "%row_begin";
    now_.ints[int_row_end] = "%row_end";
}

void TaskEmitter::run() {
    block(task_.body);
    text_.line("ret void");
}

std::string TaskEmitter::coefficient_table() const {
    if (coefficients_.empty()) return "";
    const std::string vector = compute_.vector(kernel_.lanes);
    std::vector<std::string> vectors;
    for (const double value : coefficients_)
        vectors.push_back(fmt::format("{} splat ({} {})", vector, compute_.scalar(), literal(compute_.dtype(), value)));
    return fmt::format("@{} = private unnamed_addr constant [{} x {}] [{}], align {}\n", coefficients_name_, vectors.size(), vector,
                       fmt::join(vectors, ", "), kernel_.lanes * size_of(compute_.dtype()));
}

void TaskEmitter::block(const Block& statements) {
    for (const KernelStatement& each : statements) std::visit([&](const auto& node) { statement(node); }, each.node);
}

void TaskEmitter::unsupported() const {
    internal_error("kernel {}, task {}: shared memory, the ring and warp synchronisation do not exist on a CPU", kernel_.name,
                   task_.name);
}

void TaskEmitter::statement(const Comment& node) {
    std::string text = node.text;
    std::ranges::replace(text, '\n', ' ');
    text_.line("; {}", text);
}

// Integers

void TaskEmitter::set_int(IntId var, Name name) {
    now_.ints[var] = std::move(name);
    now_.int_depth[var] = depth_;
}

template <class Make>
Name TaskEmitter::once(const std::string& key, Make make) {
    if (const auto found = now_.expressions.find(key); found != now_.expressions.end()) return found->second;
    return now_.expressions[key] = make();
}

Name TaskEmitter::product(const Name& a, std::int64_t factor) {
    if (factor == 1) return a;
    return once(fmt::format("{}*{}", a, factor), [&] { return text_.value("mul nsw i64 {}, {}", a, factor); });
}

Name TaskEmitter::sum(const Name& a, const Name& b) {
    if (a == "0") return b;
    if (b == "0") return a;
    return once(fmt::format("{}+{}", a, b), [&] { return text_.value("add nsw i64 {}, {}", a, b); });
}

/// Variables whose values are numbers here become part of the constant.
Affine TaskEmitter::fold(const Affine& affine) const {
    Affine folded(affine.constant);
    for (const auto& [var, factor] : affine.terms) {
        const Name& value = now_.ints[var];
        if (value.empty()) internal_error("kernel {}: integer {} is read before it is assigned", kernel_.name, task_.ints[var]);
        if (is_number(value))
            folded.constant += std::stoll(value) * factor;
        else
            folded.terms.emplace_back(var, factor);
    }
    return folded;
}

Name TaskEmitter::integer(const Affine& affine) {
    const Affine folded = fold(affine);
    if (folded.terms.empty()) return std::to_string(folded.constant);
    Name result = "0";
    for (const auto& [var, factor] : folded.terms) result = sum(result, product(now_.ints[var], factor));
    return sum(result, std::to_string(folded.constant));
}

Name TaskEmitter::load_index(BufferId buffer, const Affine& index, bool null_is_identity) {
    const Name position = integer(index);
    const bool is_table = kernel_.buffers[buffer].kind == BufferKind::table;
    if (is_table || !null_is_identity) {
        const std::string array = is_table ? fmt::format("@{}.table{}", kernel_.name, buffer) : fmt::format("%b{}", buffer);
        const Name pointer = text_.value("getelementptr i32, ptr {}, i64 {}", array, position);
        return text_.value("sext i32 {} to i64", text_.value("load i32, ptr {}, align 4", pointer));
    }
    // No branch: a null buffer is replaced by a word that can be read, and the value read from it is dropped.
    const Name is_null = once(fmt::format("null {}", buffer), [&] { return text_.value("icmp eq ptr %b{}, null", buffer); });
    const Name readable = once(fmt::format("readable {}", buffer),
                               [&] { return text_.value("select i1 {}, ptr @zero_index, ptr %b{}", is_null, buffer); });
    const Name at = text_.value("select i1 {}, i64 0, i64 {}", is_null, position);
    const Name pointer = text_.value("getelementptr i32, ptr {}, i64 {}", readable, at);
    const Name read = text_.value("sext i32 {} to i64", text_.value("load i32, ptr {}, align 4", pointer));
    return text_.value("select i1 {}, i64 {}, i64 {}", is_null, position, read);
}

void TaskEmitter::statement(const IntLoad& node) {
    set_int(node.var, load_index(node.buffer, node.index, node.identity_if_null));
}

void TaskEmitter::statement(const IntMin& node) {
    const Name a = integer(node.a), b = integer(node.b);
    set_int(node.var, text_.value("call i64 @llvm.smin.i64(i64 {}, i64 {})", a, b));
}

// A window hides latency by reading ahead; a CPU's caches do that already.
void TaskEmitter::statement(const WindowOpen& node) { windows_.at(node.window) = node.buffer; }
void TaskEmitter::statement(const WindowRead& node) {
    set_int(node.var, load_index(windows_.at(node.window), node.position, true));
}

// Control flow

void TaskEmitter::start_block(const std::string& label) {
    text_.out += label + ":\n";
    label_ = label;
}

TaskEmitter::Assigned TaskEmitter::carried_by(const Block& body) const {
    Assignments assigned;
    assigned.add(body);
    Assigned carried;
    for (const RegId id : assigned.registers)
        if (!now_.registers[id].vector.empty() || !now_.registers[id].scalar.empty()) carried.registers.push_back(id);
    for (const IntId id : assigned.ints)
        if (!now_.ints[id].empty()) carried.ints.push_back(id);
    return carried;
}

void TaskEmitter::phi(const std::string& type, const Name& name, const Name& a, const std::string& from_a, const Name& b,
                      const std::string& from_b) {
    text_.line("{} = phi {} [ {}, %{} ], [ {}, %{} ]", name, type, a, from_a, b, from_b);
}

/// Ends a loop or branch: what its body assigned is the value before it or the value after it. Everything else that the body
/// made is out of scope.
void TaskEmitter::merge(const Assigned& carried, const State& before, const std::string& from_before, const State& after,
                        const std::string& from_after) {
    State merged = before;
    for (const RegId id : carried.registers) {
        const Name name = text_.reserve();
        phi(compute_.vector(kernel_.lanes), name, before.registers[id].vector, from_before, after.registers[id].vector,
            from_after);
        merged.registers[id] = {name, {}};
    }
    for (const IntId id : carried.ints) {
        const Name name = text_.reserve();
        phi("i64", name, before.ints[id], from_before, after.ints[id], from_after);
        merged.ints[id] = name;
        merged.int_depth[id] = depth_;
    }
    now_ = std::move(merged);
}

/// A loop that runs at most once.
void TaskEmitter::straight(const For& node, const Name& begin, const Name& end) {
    if (std::stoll(begin) >= std::stoll(end)) return;
    set_int(node.var, begin);
    block(node.body);
}

void TaskEmitter::statement(const For& node) {
    const Name begin = integer(node.begin), end = integer(node.end);
    if (is_number(begin) && is_number(end) && trips(std::stoll(begin), std::stoll(end), node.step) <= 1)
        return straight(node, begin, end);
    const Assigned carried = carried_by(node.body);
    for (const RegId id : carried.registers) vector_of(id);  // phis are between vectors
    const State before = now_;
    const std::string preheader = label_, body = fmt::format("body{}", labels_), exit = fmt::format("exit{}", labels_);
    ++labels_;
    text_.line("br i1 {}, label %{}, label %{}", text_.value("icmp slt i64 {}, {}", begin, end), body, exit);

    start_block(body);
    const std::size_t phis_at = text_.out.size();
    ++depth_;
    const Name index = text_.reserve();
    State inside = before;
    for (const RegId id : carried.registers) inside.registers[id] = {text_.reserve(), {}};
    now_ = inside;
    for (const IntId id : carried.ints) set_int(id, text_.reserve());
    set_int(node.var, index);
    inside.ints = now_.ints;
    block(node.body);

    for (const RegId id : carried.registers) vector_of(id);
    const Name next = text_.value("add nsw i64 {}, {}", index, node.step);
    text_.line("br i1 {}, label %{}, label %{}", text_.value("icmp slt i64 {}, {}", next, end), body, exit);
    --depth_;
    // The phis could not be written before the body was: they name its last values.
    std::string code = text_.out.substr(phis_at);
    text_.out.resize(phis_at);
    phi("i64", index, begin, preheader, next, label_);
    const std::string vector = compute_.vector(kernel_.lanes);
    for (const RegId id : carried.registers)
        phi(vector, inside.registers[id].vector, before.registers[id].vector, preheader, now_.registers[id].vector, label_);
    for (const IntId id : carried.ints)
        if (id != node.var) phi("i64", inside.ints[id], before.ints[id], preheader, now_.ints[id], label_);
    text_.out += code;

    const std::string latch = label_;
    const State after = std::move(now_);
    start_block(exit);
    merge(carried, before, preheader, after, latch);
}

void TaskEmitter::statement(const If& node) {
    const Name a = integer(node.a), b = integer(node.b);
    const Assigned carried = carried_by(node.body);
    for (const RegId id : carried.registers) vector_of(id);
    const State before = now_;
    const std::string skipped = label_, body = fmt::format("then{}", labels_), exit = fmt::format("exit{}", labels_);
    ++labels_;
    text_.line("br i1 {}, label %{}, label %{}", text_.value("icmp slt i64 {}, {}", a, b), body, exit);
    start_block(body);
    block(node.body);
    for (const RegId id : carried.registers) vector_of(id);
    text_.line("br label %{}", exit);
    const std::string taken = label_;
    const State after = std::move(now_);
    start_block(exit);
    merge(carried, before, skipped, after, taken);
}

// Arithmetic

Name TaskEmitter::vector_of(RegId id) {
    Value& value = now_.registers[id];
    if (value.vector.empty()) {
        if (value.scalar.empty())
            internal_error("kernel {}: register {} is read before it is assigned", kernel_.name, task_.registers[id].name);
        value.vector = compute_.splat(value.scalar, kernel_.lanes);
    }
    return value.vector;
}

Name TaskEmitter::vector_of(const Arg& arg) {
    if (const RegId* id = std::get_if<RegId>(&arg)) return vector_of(*id);
    const double value = std::get<double>(arg);
    if (value == 0 && !std::signbit(value)) return "zeroinitializer";
    if (std::abs(value) != 1 && reads_coefficients(kernel_.target)) return coefficient(value);
    return fmt::format("splat ({} {})", compute_.scalar(), literal(compute_.dtype(), value));
}

// LLVM would broadcast it into a register of its own; from a vector in memory the multiplication itself reads it.
Name TaskEmitter::coefficient(double value) {
    auto at = std::ranges::find(coefficients_, value);
    if (at == coefficients_.end()) at = coefficients_.insert(at, value);
    const std::string vector = compute_.vector(kernel_.lanes);
    const auto index = at - coefficients_.begin();
    return text_.value("load volatile {0}, ptr getelementptr ({0}, ptr @{1}, i64 {2}), align {3}", vector, coefficients_name_, index,
                       size_of(compute_.dtype()));
}

Name TaskEmitter::scalar_of(RegId id) {
    Value& value = now_.registers[id];
    if (value.scalar.empty()) value.scalar = compute_.element(vector_of(id), kernel_.lanes, 0);
    return value.scalar;
}

std::vector<Name> TaskEmitter::vectors_of(std::span<const RegId> ids) {
    std::vector<Name> names;
    for (const RegId id : ids) names.push_back(vector_of(id));
    return names;
}

void TaskEmitter::statement(const Move& node) {
    if (const RegId* id = std::get_if<RegId>(&node.src))
        vector_of(*id), now_.registers[node.dst] = now_.registers[*id];
    else
        now_.registers[node.dst] = {vector_of(node.src), {}};
}

void TaskEmitter::statement(const Mul& node) {
    const Name a = vector_of(node.a), b = vector_of(node.b);
    now_.registers[node.dst] = {
        text_.value("fmul{} {} {}, {}", kernel_.contract ? " contract" : "", compute_.vector(kernel_.lanes), a, b), {}};
}

// fmuladd is one instruction where the target has one and a multiplication and an addition elsewhere, never a library call. Where
// nothing may be fused, neither products nor sums allow it.
void TaskEmitter::statement(const Fma& node) {
    const Name a = vector_of(node.a);
    if (const double* const factor = std::get_if<double>(&node.b); factor && std::abs(*factor) == 1) {
        const Name c = vector_of(node.c);
        now_.registers[node.dst] = {*factor == 1 ? compute_.add(a, c, kernel_.lanes) : compute_.subtract(c, a, kernel_.lanes), {}};
        return;
    }
    const Name b = vector_of(node.b), c = vector_of(node.c);
    now_.registers[node.dst] = {text_.value("call contract {0} @llvm.fmuladd.v{1}f{2}({0} {3}, {0} {4}, {0} {5})",
                                            compute_.vector(kernel_.lanes), kernel_.lanes, 8 * size_of(compute_.dtype()), a, b,
                                            c),
                                {}};
}

void TaskEmitter::statement(const LaneSum& node) {
    const std::vector<Name> sources = vectors_of(node.src);
    for (std::size_t first = 0; first < sources.size(); first += kernel_.lanes) {
        const std::size_t count = std::min<std::size_t>(kernel_.lanes, sources.size() - first);
        const Name sums = lane_sums(compute_, kernel_.lanes, std::span(sources).subspan(first, count));
        for (std::size_t k = 0; k < count; ++k)
            now_.registers[node.dst[first + k]] = {{}, compute_.element(sums, kernel_.lanes, static_cast<int>(k))};
    }
}

}  // namespace flashtp::llvm_text
