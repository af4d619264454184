#include "codegen/task_printer.hpp"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "ir/error.hpp"

namespace flashtp {

std::string_view c_type(DType dtype) {
    constexpr std::string_view names[] = {"float", "double", "warp::bfloat16", "warp::float16"};
    return names[static_cast<int>(dtype)];
}

std::string c_literal(double value, DType dtype) {
    const bool single = dtype == DType::float32;
    if (!std::isfinite(single ? static_cast<float>(value) : value)) internal_error("{} is no {} literal", value, c_type(dtype));
    std::string text = single ? fmt::format("{}", static_cast<float>(value)) : fmt::format("{}", value);
    if (text.find_first_of(".e") == std::string::npos) text += ".0";
    return single ? text + "f" : text;
}

std::string c_parameter(const Buffer& b, const std::string& name, const Dialect& dialect) {
    if (b.kind == BufferKind::index) return fmt::format("const int* {}{}", dialect.restrict_keyword, name);
    const bool input = b.operand && b.operand->role == Role::input;
    // Outputs may be written by other warps, so nothing is promised about them.
    if (input) return fmt::format("const {}* {}{}", c_type(b.dtype), dialect.restrict_keyword, name);
    return fmt::format("{}* {}", c_type(b.dtype), name);
}

TaskPrinter::TaskPrinter(const Kernel& kernel, const KernelTask& task, const Dialect& dialect,
                         const std::vector<std::string>& buffers, Names names, SourceWriter& out)
    : kernel_(kernel), task_(task), dialect_(dialect), buffers_(buffers), out_(out), names_(std::move(names)),
      types_(kernel, task) {
    for (const std::string& wanted : task.ints) ints_.push_back(names_.unique(wanted));
    for (const SharedBuffer& s : task.shared) shared_.push_back(names_.unique(s.name));
    for (const Register& r : task.registers) registers_.push_back(names_.unique(r.name));
    for (int w = 0; w < task.windows; ++w) windows_.push_back(names_.unique(fmt::format("window_{}", w)));
}

void TaskPrinter::print(const std::string& function) {
    out_.comment("Task " + task_.name);
    for (const std::string& text : task_.comments) out_.comment("  " + text);
    std::string parameters;
    for (std::size_t b = 0; b < buffers_.size(); ++b)
        if (kernel_.buffers[b].kind != BufferKind::table)
            parameters += c_parameter(kernel_.buffers[b], buffers_[b], dialect_) + ", ";
    const std::string type(c_type(kernel_.compute));
    const char* part = kernel_.windows && kernel_.receiver_rows ? "warp::PartOfWindow" : "warp::Part";
    parameters += fmt::format("int {}, int {}, int {}, ", name(int_chunk), name(int_row_begin), name(int_row_end));
    parameters +=
        dialect_.threads ? fmt::format("{} part, int lane, {}* region, warp::barrier* barriers{}", part, type, loads_matrices(task_) ? ", const unsigned char* matrices" : "") : fmt::format("{}* region", type);
    out_.open(fmt::format("{} {}({})", dialect_.task_qualifiers, function, parameters));
    for (std::size_t s = 0; s < shared_.size(); ++s)
        out_.line(fmt::format("{}* const {} = region + {};", type, shared_[s], task_.shared[s].offset));
    block(task_.body);
    out_.close();
}

// Statements that one lane executes share one branch.
void TaskPrinter::block(const Block& statements) {
    const std::size_t outer = scope_.size();
    bool one_lane = false;
    const Affine* read_at = nullptr;
    for (const KernelStatement& s : statements) {
        const auto* read = std::get_if<WindowRead>(&s.node);
        if (read_at && !(read && read->position == *read_at)) advance_windows(*read_at);
        read_at = read ? &read->position : nullptr;
        if (issued_by_one_lane(s) != one_lane) {
            one_lane = !one_lane;
            one_lane ? out_.open("if (warp::elected())") : out_.close();
        }
        std::visit(*this, s.node);
    }
    if (read_at) advance_windows(*read_at);
    if (one_lane) out_.close();
    for (; scope_.size() > outer; scope_.pop_back()) declared_.erase(scope_.back());
}

bool TaskPrinter::declare_once(const std::string& name) {
    if (!declared_.insert(name).second) return false;
    scope_.push_back(name);
    return true;
}

// ---- integers -----------------------------------------------------------------------------------------------------------------

std::string TaskPrinter::term(IntId id, std::int64_t factor) const {
    if (factor == 1) return name(id);
    return fmt::format("{}{} * {}", types_.product_is_wide(id, factor) ? "(long long)" : "", name(id), factor);
}

static std::string joined(const std::string& a, const std::string& b) {
    if (a.empty()) return b;
    if (b.empty()) return a;
    return a + " + " + b;
}

std::string TaskPrinter::terms(const Affine& a, Place place) const {
    std::string text;
    for (const auto& [id, factor] : a.terms)
        // A warp's shared memory is small: 32-bit arithmetic.
        text = joined(text, place == Place::global || factor == 1 ? term(id, factor) : fmt::format("{} * {}", name(id), factor));
    return text;
}

std::string TaskPrinter::sum(const Affine& a, Place place) const {
    const std::string variable = terms(a, place);
    if (variable.empty()) return std::to_string(a.constant);
    if (a.constant == 0) return variable;
    return fmt::format("{} {} {}", variable, a.constant < 0 ? '-' : '+', a.constant < 0 ? -a.constant : a.constant);
}

void TaskPrinter::set_int(IntId id, const std::string& text) {
    const std::string type = declare_once(name(id)) ? (types_.wide(id) ? "long long " : "int ") : "";
    out_.line(fmt::format("{}{} = {};", type, name(id), text));
}

void TaskPrinter::operator()(const IntLoad& s) {
    const std::string& array = buffers_[static_cast<std::size_t>(s.buffer)];
    const std::string index = sum(s.index), entry = fmt::format("{}[{}]", array, index);
    const std::string loaded = s.identity_if_null ? fmt::format("{} ? {} : {}", array, entry, index) : entry;
    if (!s.declare) read_ahead_.insert(s.var);
    set_int(s.var, s.declare ? uniform(loaded) : loaded);
}

/// What memory holds is the same in all lanes, which the compiler cannot know.
std::string TaskPrinter::uniform(const std::string& text) const { return dialect_.threads ? fmt::format("warp::uniform({})", text) : text; }

void TaskPrinter::operator()(const IntMin& s) {
    const std::string a = sum(s.a), b = sum(s.b);
    const std::string least = fmt::format("{0} < {1} ? {0} : {1}", a, b);
    const auto is_read_ahead = [&](const auto& term) { return read_ahead_.contains(term.first); };
    const bool ahead = std::ranges::any_of(s.a.terms, is_read_ahead) || std::ranges::any_of(s.b.terms, is_read_ahead);
    set_int(s.var, ahead ? uniform(least) : least);
}

// What NVRTC would unroll by itself, loops of known length, is bounded: long bodies over a hundred hidden channels compile for minutes.
void TaskPrinter::bound_unrolling(const For& s) {
    if (!dialect_.threads || !s.begin.terms.empty() || !s.end.terms.empty()) return;
    constexpr std::int64_t most_statements = 1024, wanted_statements = 256;
    const auto body = static_cast<std::int64_t>(s.body.size());
    if ((s.end.constant - s.begin.constant) / s.step * body <= most_statements) return;
    out_.verbatim(fmt::format("#pragma unroll {}\n", std::max<std::int64_t>(1, wanted_statements / body)));
}

void TaskPrinter::operator()(const For& s) {
    if (s.teams && dialect_.threads) return over_teams(s);
    bound_unrolling(s);
    const std::string& v = name(s.var);
    const std::string step = s.step == 1 ? "++" + v : fmt::format("{} += {}", v, s.step);
    out_.open(fmt::format("for ({} {} = {}; {} < {}; {})", types_.wide(s.var) ? "long long" : "int", v, sum(s.begin), v,
                          sum(s.end), step));
    block(s.body);
    out_.close();
}

void TaskPrinter::operator()(const If& s) {
    out_.open(fmt::format("if ({} < {})", sum(s.a), sum(s.b)));
    block(s.body);
    out_.close();
}

// ---- registers ----------------------------------------------------------------------------------------------------------------

std::string TaskPrinter::value(RegId id) const {
    return registers_[static_cast<std::size_t>(id)] + (is_array(id) ? "[lane]" : "");
}

std::string TaskPrinter::arg(const Arg& a) const {
    if (const RegId* id = std::get_if<RegId>(&a)) return value(*id);
    return c_literal(std::get<double>(a), kernel_.compute);
}

std::string TaskPrinter::lane_loop(int lanes) const { return fmt::format("for (int lane = 0; lane < {}; ++lane) ", lanes); }

void TaskPrinter::declare(RegId id) {
    const std::string& register_name = registers_[static_cast<std::size_t>(id)];
    if (!declare_once(register_name)) return;
    out_.line(
        fmt::format("{} {}{};", c_type(kernel_.compute), register_name, is_array(id) ? fmt::format("[{}]", kernel_.lanes) : ""));
}

void TaskPrinter::set_register(RegId id, const std::string& text) {
    if (is_array(id)) {
        declare(id);
        out_.line(fmt::format("{}{} = {};", lane_loop(kernel_.lanes), value(id), text));
        return;
    }
    const std::string& register_name = registers_[static_cast<std::size_t>(id)];
    const std::string type = declare_once(register_name) ? std::string(c_type(kernel_.compute)) + " " : "";
    out_.line(fmt::format("{}{} = {};", type, register_name, text));
}

void TaskPrinter::operator()(const Fma& s) {
    set_register(s.dst, fmt::format("{}({}, {}, {})", dialect_.fma(kernel_.compute), arg(s.a), arg(s.b), arg(s.c)));
}

}  // namespace flashtp
