#include "codegen/emit_llvm.hpp"

#include <algorithm>
#include <bit>
#include <set>

#include "codegen/llvm_task.hpp"
#include "ir/error.hpp"

namespace flashtp {
namespace {

using llvm_text::Elements;
using llvm_text::FunctionText;
using llvm_text::TaskEmitter;

/// Buffers that a task reads and writes: its function takes only those, as pointers that do not overlap.
struct Buffers {
    std::set<BufferId> used, written;

    explicit Buffers(const Kernel& kernel, const KernelTask& task) {
        add(task.body);
        std::erase_if(used, [&](BufferId id) { return kernel.buffers[id].kind == BufferKind::table; });
    }

  private:
    void add(const Block& block) {
        for (const KernelStatement& statement : block) std::visit([&](const auto& node) { add(node); }, statement.node);
    }
    void add(const For& node) { add(node.body); }
    void add(const If& node) { add(node.body); }
    void add(const IntLoad& node) { used.insert(node.buffer); }
    void add(const WindowOpen& node) { used.insert(node.buffer); }
    void add(const Load& node) {
        if (node.from.place == Place::global) used.insert(node.from.buffer);
    }
    void add(const Prefetch& node) { used.insert(node.buffer); }
    void add(const Store& node) {
        if (node.to.place == Place::global) used.insert(node.to.buffer), written.insert(node.to.buffer);
    }
    void add(const ReduceStore& node) { used.insert(node.to.buffer), written.insert(node.to.buffer); }
    template <class Node>
    void add(const Node&) {}
};

std::string join(const std::vector<std::string>& parts, std::string_view separator) {
    return fmt::format("{}", fmt::join(parts, separator));
}

void comment(std::string& out, const std::string& text, std::string_view indent = "") {
    std::size_t begin = 0;
    while (begin <= text.size()) {
        const std::size_t end = std::min(text.find('\n', begin), text.size());
        out += fmt::format("{}; {}\n", indent, text.substr(begin, end - begin));
        begin = end + 1;
    }
}

std::string task_function(const Kernel& kernel, std::size_t task) { return fmt::format("{}.task{}", kernel.name, task); }

bool has_masked_loads(const Target& target) { return target.vector_bits >= 256; }

void emit_task(std::string& out, const Kernel& kernel, std::size_t index, const Buffers& buffers) {
    const KernelTask& task = kernel.tasks[index];
    out += '\n';
    comment(out, fmt::format("task {}: {}", index, task.name));
    for (const std::string& text : task.comments) comment(out, text, "");
    std::string parameters;
    for (const BufferId id : buffers.used)
        parameters += fmt::format("ptr noalias nocapture{} %b{}, ", buffers.written.contains(id) ? "" : " readonly", id);
    out += fmt::format("define internal void @{}({}i64 %chunk, i64 %row_begin, i64 %row_end) #0 {{\nentry:\n",
                       task_function(kernel, index), parameters);
    FunctionText text;
    text.contract = kernel.contract;
    const Elements compute(text, kernel.compute, has_masked_loads(kernel.target));
    if (!task.shared.empty())
        text.line("%scratch = alloca [{} x {}], align 64", kernel.shared_elements, compute.scalar());
    TaskEmitter emitter(kernel, task, compute, text, has_masked_loads(kernel.target));
    emitter.run();
    out += text.out;
    out += "}\n" + emitter.coefficient_table();
}

std::string call_task(const Kernel& kernel, std::size_t index, const Buffers& buffers, std::string_view chunk) {
    std::string arguments;
    for (const BufferId id : buffers.used) arguments += fmt::format("ptr %b{}, ", id);
    return fmt::format("  call void @{}({}i64 {}, i64 %row_begin, i64 %row_end)\n", task_function(kernel, index), arguments,
                       chunk);
}

/// Loads the buffer pointers and runs the tasks one after the other, each for all of its chunks.
void emit_entry(std::string& out, const Kernel& kernel, const std::vector<Buffers>& buffers) {
    out += fmt::format("\ndefine void @{}(ptr noalias nocapture readonly %buffers, i64 %row_begin, i64 %row_end) #0 {{\nentry:\n",
                       kernel.name);
    int argument = 0;
    for (std::size_t id = 0; id < kernel.buffers.size(); ++id) {
        const Buffer& buffer = kernel.buffers[id];
        if (buffer.kind == BufferKind::table) continue;
        out +=
            fmt::format("  %at{0} = getelementptr ptr, ptr %buffers, i64 {1}\n  %b{0} = load ptr, ptr %at{0}, align 8  ; {2}\n",
                        id, argument++, buffer.name);
    }
    std::string before = "entry";
    for (std::size_t task = 0; task < kernel.tasks.size(); ++task) {
        const std::int64_t chunks = kernel.tasks[task].chunks;
        if (chunks <= 1) {
            if (chunks == 1) out += call_task(kernel, task, buffers[task], "0");
            continue;
        }
        const std::string loop = fmt::format("task{}", task), done = fmt::format("done{}", task);
        out += fmt::format("  br label %{0}\n{0}:\n  %chunk{1} = phi i64 [ 0, %{2} ], [ %next{1}, %{0} ]\n", loop, task, before);
        out += call_task(kernel, task, buffers[task], fmt::format("%chunk{}", task));
        out += fmt::format("  %next{0} = add nuw nsw i64 %chunk{0}, 1\n  %more{0} = icmp ult i64 %next{0}, {1}\n", task, chunks);
        out += fmt::format("  br i1 %more{}, label %{}, label %{}\n{}:\n", task, loop, done, done);
        before = done;
    }
    out += "  ret void\n}\n";
}

void emit_tables(std::string& out, const Kernel& kernel) {
    out += "\n; Read in place of an index buffer that is null.\n@zero_index = private unnamed_addr constant i32 0, align 4\n";
    for (std::size_t id = 0; id < kernel.buffers.size(); ++id) {
        const Buffer& buffer = kernel.buffers[id];
        if (buffer.kind != BufferKind::table) continue;
        std::vector<std::string> entries;
        for (const std::int32_t entry : buffer.table) entries.push_back(fmt::format("i32 {}", entry));
        out += fmt::format("@{}.table{} = private unnamed_addr constant [{} x i32] [{}], align 4  ; {}\n", kernel.name, id,
                           entries.size(), join(entries, ", "), buffer.name);
    }
}

void emit_declarations(std::string& out, const Kernel& kernel) {
    const std::size_t bits = 8 * size_of(kernel.compute);
    const std::string vector = fmt::format("<{} x {}>", kernel.lanes, bits == 32 ? "float" : "double");
    out += "\ndeclare i64 @llvm.smin.i64(i64, i64)\ndeclare void @llvm.prefetch.p0(ptr, i32, i32, i32)\n";
    out += fmt::format("declare {0} @llvm.fmuladd.v{1}f{2}({0}, {0}, {0})\n", vector, kernel.lanes, bits);
    for (const auto& [type, size] : {std::pair("float", 32), std::pair("double", 64)})
        out += fmt::format("declare <{0} x {1}> @llvm.arithmetic.fence.v{0}f{2}(<{0} x {1}>)\n", kernel.lanes, type, size);
    if (!has_masked_loads(kernel.target)) return;
    for (const auto& [type, size] : {std::pair("float", 32), std::pair("double", 64)})
        for (int width = 1; width <= kernel.lanes; width *= 2)
            out += fmt::format("declare <{0} x {1}> @llvm.masked.load.v{0}f{2}.p0(ptr, i32, <{0} x i1>, <{0} x {1}>)\n", width,
                               type, size);
}

/// Without the first attribute LLVM halves 512-bit vectors on some processors. Without `stackrealign` it keeps spilled vectors
/// where the caller's stack happens to end, and every second one lies across two cache lines.
void emit_attributes(std::string& out, const Kernel& kernel) {
    const Target& target = kernel.target;
    out +=
        fmt::format("\nattributes #0 = {{ noinline nounwind \"prefer-vector-width\"=\"{0}\" \"min-legal-vector-width\"=\"{0}\"",
                    std::max(128, target.vector_bits));
    if (target.vector_bits > 128) out += " \"stackrealign\"";
    if (!target.cpu.empty()) out += fmt::format(" \"target-cpu\"=\"{}\"", target.cpu);
    if (!target.features.empty()) out += fmt::format(" \"target-features\"=\"{}\"", join(target.features, ","));
    out += " }\n";
}

void check(const Kernel& kernel) {
    if (kernel.target.platform != Platform::cpu) internal_error("kernel {}: LLVM IR is printed for CPUs only", kernel.name);
    if (kernel.lanes < 1 || kernel.lanes > 64 || !std::has_single_bit(static_cast<unsigned>(kernel.lanes)))
        internal_error("kernel {}: {} lanes, where a power of two up to 64 is needed", kernel.name, kernel.lanes);
    const auto plain = [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
    };
    if (kernel.name.empty() || !std::ranges::all_of(kernel.name, plain))
        internal_error("kernel name \"{}\" is no identifier", kernel.name);
}

}  // namespace

std::string emit_llvm(const Kernel& kernel) {
    check(kernel);
    std::string out;
    for (const std::string& text : kernel.header) comment(out, text);
    if (!kernel.target.triple.empty()) out += fmt::format("target triple = \"{}\"\n", kernel.target.triple);
    emit_tables(out, kernel);
    std::vector<Buffers> buffers;
    for (std::size_t task = 0; task < kernel.tasks.size(); ++task) {
        buffers.emplace_back(kernel, kernel.tasks[task]);
        emit_task(out, kernel, task, buffers[task]);
    }
    emit_entry(out, kernel, buffers);
    emit_declarations(out, kernel);
    emit_attributes(out, kernel);
    return out;
}

}  // namespace flashtp
