// Loads and stores: which instructions an access pattern takes.
#include <algorithm>
#include <bit>

#include "codegen/llvm_lanes.hpp"
#include "codegen/llvm_task.hpp"
#include "ir/error.hpp"

namespace flashtp::llvm_text {
namespace {

/// How the lanes of an access lie in memory.
enum class Shape {
    unit,         ///< consecutive: one vector a component
    broadcast,    ///< all lanes at one place
    interleaved,  ///< components of a lane side by side, lanes a small odd distance apart: whole vectors and a shuffle network
    rows,         ///< components of a lane side by side, lanes anywhere: short vectors and transpositions
    scattered     ///< element after element
};

/// Instructions of a shuffle network against those of loading lane by lane; constants from counting both.
bool network_pays(std::int64_t stride, int components, int lanes) {
    const int stages = std::countr_zero(static_cast<unsigned>(lanes));
    const std::int64_t vectors = std::min<std::int64_t>(stride, static_cast<std::int64_t>(components) * lanes);
    const std::int64_t blends = std::min<std::int64_t>(components * (lanes - 1), stride * stages);
    return vectors + blends + components <= 2 * static_cast<std::int64_t>(components) * lanes;
}

bool interleaves(const Access& access, int components, int lanes, bool dense) {
    const std::int64_t stride = access.lane_stride;
    if (access.component_stride != 1 || stride < 3 || stride % 2 == 0 || stride < components) return false;
    return dense ? stride == components : stride < 1024 && network_pays(stride, components, lanes);
}

Shape load_shape(const Access& access, int components, int lanes) {
    if (access.table) return access.component_stride == 1 && components > 1 ? Shape::rows : Shape::scattered;
    if (access.lane_stride == 1) return Shape::unit;
    if (access.lane_stride == 0) return Shape::broadcast;
    if (interleaves(access, components, lanes, false)) return Shape::interleaved;
    return access.component_stride == 1 && components > 1 ? Shape::rows : Shape::scattered;
}

/// Unlike loads, stores may not touch what lies between the components of two lanes.
Shape store_shape(const Access& access, int components, int lanes) {
    const bool rows = access.component_stride == 1 && components > 1;
    if (access.table) return rows ? Shape::rows : Shape::scattered;
    if (access.lane_stride == 1) return Shape::unit;
    if (interleaves(access, components, lanes, true)) return Shape::interleaved;
    return rows && access.lane_stride >= components ? Shape::rows : Shape::scattered;
}

/// Components a lane that the rows shape moves at a time: 128 bits, or less where there are fewer.
int row_width(const Elements& elements, std::size_t components, int lanes) {
    return std::min({static_cast<int>(std::bit_ceil(components)), elements.block(), lanes});
}

Name behind(const Elements& elements, const Address& address, std::int64_t offset) {
    return elements.at(address.pointer, address.offset + offset);
}

}  // namespace

// Addresses

Address TaskEmitter::address(const Access& access) {
    if (access.place == Place::global) return address(access.buffer, access.base);
    return {"%scratch", task_.shared[access.buffer].offset + access.base.constant};
}

/// The variable part of a position becomes a chain of pointers, outermost loop first, so that inner loops add only their own.
Address TaskEmitter::address(BufferId buffer, const Affine& base) {
    const Affine folded = fold(base);
    std::vector<std::pair<IntId, std::int64_t>> terms = folded.terms;
    std::ranges::stable_sort(terms, {}, [&](const auto& term) { return now_.int_depth[term.first]; });
    const std::string_view element = scalar_type(kernel_.buffers[buffer].dtype);
    Name pointer = fmt::format("%b{}", buffer);
    for (const auto& [var, factor] : terms) {
        const std::string key = fmt::format("{}[{}*{}]", pointer, now_.ints[var], factor);
        const auto found = now_.expressions.find(key);
        if (found != now_.expressions.end()) {
            pointer = found->second;
            continue;
        }
        const Name offset = product(now_.ints[var], factor);
        pointer = now_.expressions[key] = text_.value("getelementptr {}, ptr {}, i64 {}", element, pointer, offset);
    }
    return {pointer, folded.constant};
}

Elements TaskEmitter::elements_of(const Access& access) const {
    // A task's own memory: vectors that it left there for want of registers.
    if (access.place == Place::shared) {
        if (access.lane_stride != 1 || !access.base.terms.empty()) unsupported();
        return compute_.in_place();
    }
    return Elements(text_, kernel_.buffers[access.buffer].dtype, masked_loads_);
}

std::vector<Address> TaskEmitter::lane_addresses(const Access& access, const Elements& elements) {
    const Address base = address(access);
    std::vector<Address> lanes;
    for (int lane = 0; lane < std::min(access.active, kernel_.lanes); ++lane) {
        if (!access.table) {
            lanes.push_back({base.pointer, base.offset + lane * access.lane_stride});
            continue;
        }
        const std::vector<std::int32_t>& table = kernel_.buffers[*access.table].table;
        if (access.table_base.terms.empty()) {
            lanes.push_back({base.pointer, base.offset + table.at(access.table_base.constant + lane) * access.lane_stride});
            continue;
        }
        const Name position = integer(access.table_base + Affine(lane));
        const Name entry = text_.value("getelementptr i32, ptr @{}.table{}, i64 {}", kernel_.name, *access.table, position);
        const Name index = text_.value("sext i32 {} to i64", text_.value("load i32, ptr {}, align 4", entry));
        const Name offset = product(index, access.lane_stride);
        lanes.push_back({text_.value("getelementptr {}, ptr {}, i64 {}", elements.scalar(), base.pointer, offset), base.offset});
    }
    return lanes;
}

Name TaskEmitter::widened(const Name& bits, int width, const Elements& from, const Elements& to) {
    if (from.dtype() == DType::float16) {
        const Name half = text_.value("bitcast {} {} to <{} x half>", from.vector(width), bits, width);
        return text_.value("fpext <{} x half> {} to {}", width, half, to.vector(width));
    }
    const std::string word = fmt::format("<{} x i32>", width);
    const Name low = text_.value("zext {} {} to {}", from.vector(width), bits, word);
    const Name high = text_.value("shl {} {}, splat (i32 16)", word, low);
    return text_.value("bitcast {} {} to {}", word, high, to.vector(width));
}

/// To nearest even. A number that is none stays none: its lower bits are not what tells.
Name TaskEmitter::narrowed(const Name& value, int width, const Elements& from, const Elements& to) {
    if (to.dtype() == DType::float16) {
        const Name half = text_.value("fptrunc {} {} to <{} x half>", from.vector(width), value, width);
        return text_.value("bitcast <{} x half> {} to {}", width, half, to.vector(width));
    }
    const std::string word = fmt::format("<{} x i32>", width);
    const Name bits = text_.value("bitcast {} {} to {}", from.vector(width), value, word);
    const Name odd = text_.value("and {} {}, splat (i32 1)", word, text_.value("lshr {} {}, splat (i32 16)", word, bits));
    const Name half = text_.value("add {} {}, splat (i32 32767)", word, odd);
    const Name rounded = text_.value("add {} {}, {}", word, bits, half);
    const Name quiet = text_.value("or {} {}, splat (i32 4194304)", word, bits);
    const Name is_number = text_.value("fcmp ord {} {}, zeroinitializer", from.vector(width), value);
    const Name chosen = text_.value("select <{0} x i1> {1}, {2} {3}, {2} {4}", width, is_number, word, rounded, quiet);
    const Name high = text_.value("lshr {} {}, splat (i32 16)", word, chosen);
    return text_.value("trunc {} {} to {}", word, high, to.vector(width));
}

Name TaskEmitter::convert(const Name& value, int width, const Elements& from, const Elements& to) {
    if (from.dtype() == to.dtype()) return value;
    if (is_storage_only(from.dtype())) return widened(value, width, from, to);
    if (is_storage_only(to.dtype())) return narrowed(value, width, from, to);
    const std::string_view operation = to.dtype() == DType::float64 ? "fpext" : "fptrunc";
    return text_.value("{} {} {} to {}", operation, from.vector(width), value, to.vector(width));
}

// Loads

void TaskEmitter::statement(const Load& node) {
    const Elements memory = node.again ? elements_of(node.from).in_place() : elements_of(node.from);
    std::vector<bool> wanted(node.dst.size());
    for (std::size_t k = 0; k < node.dst.size(); ++k) wanted[k] = !task_.registers[node.dst[k]].uniform;
    std::vector<Name> vectors(node.dst.size());
    if (std::ranges::count(wanted, true) != 0) vectors = load_vectors(node.from, memory, wanted);
    for (std::size_t k = 0; k < node.dst.size(); ++k) {
        if (wanted[k]) {
            now_.registers[node.dst[k]] = {convert(vectors[k], kernel_.lanes, memory, compute_), {}};
            continue;
        }
        const Address at = address(node.from);
        const Name scalar = memory.load_one(behind(memory, at, static_cast<std::int64_t>(k) * node.from.component_stride));
        if (memory.dtype() == compute_.dtype())
            now_.registers[node.dst[k]] = {{}, scalar};
        else
            now_.registers[node.dst[k]] = {convert(memory.splat(scalar, kernel_.lanes), kernel_.lanes, memory, compute_), {}};
    }
}

std::vector<Name> TaskEmitter::load_vectors(const Access& from, const Elements& memory, const std::vector<bool>& wanted) {
    const int lanes = kernel_.lanes, components = static_cast<int>(wanted.size());
    const Shape shape = load_shape(from, components, lanes);
    if (shape == Shape::interleaved) return load_interleaved(from, memory, wanted);
    if (shape == Shape::rows) return load_rows(from, memory, wanted);
    std::vector<Name> result(components);
    for (int k = 0; k < components; ++k) {
        if (!wanted[k]) continue;
        if (shape == Shape::unit)
            result[k] =
                memory.load(behind(memory, address(from), k * from.component_stride), lanes, from.active);
        else
            result[k] = load_scattered(from, memory, k);
    }
    return result;
}

std::vector<Name> TaskEmitter::load_interleaved(const Access& from, const Elements& memory, const std::vector<bool>& wanted) {
    const int lanes = kernel_.lanes, stride = static_cast<int>(from.lane_stride);
    const Address base = address(from);
    const int end = (std::min(from.active, lanes) - 1) * stride + static_cast<int>(wanted.size());  // one behind the last element
    std::vector<Name> vectors;
    for (int v = 0; v < stride; ++v) {
        const int count = std::clamp(end - v * lanes, 0, lanes);
        vectors.push_back(count == 0 ? "zeroinitializer" : memory.load(behind(memory, base, v * lanes), lanes, count));
    }
    return deinterleave(memory, lanes, stride, vectors, wanted);
}

std::vector<Name> TaskEmitter::load_rows(const Access& from, const Elements& memory, const std::vector<bool>& wanted) {
    const int lanes = kernel_.lanes, components = static_cast<int>(wanted.size());
    const int width = row_width(memory, wanted.size(), lanes);
    const std::vector<Address> addresses = lane_addresses(from, memory);
    std::vector<Name> result(components);
    for (int first = 0; first < components; first += width) {
        const int count = std::min(width, components - first);
        // Vector j holds the rows of lanes j, j + width, j + 2 width, ...: transposing its blocks leaves the lanes in order.
        std::vector<Name> rows(width);
        for (int j = 0; j < width; ++j) {
            for (int lane = j; lane < lanes; lane += width) {
                const bool active = lane < static_cast<int>(addresses.size());
                const Name row = active ? memory.load(behind(memory, addresses[lane], first), width, count) : "zeroinitializer";
                std::vector<int> widen(lanes, -1);
                for (int i = 0; i < width; ++i) widen[lane - j + i] = i;
                const Name wide = width == lanes ? row : memory.shuffle(row, "", width, widen);
                std::vector<int> place(lanes);
                for (int i = 0; i < lanes; ++i) place[i] = i / width == lane / width ? lanes + i : i;
                rows[j] = rows[j].empty() ? wide : memory.shuffle(rows[j], wide, lanes, place);
            }
        }
        transpose_blocks(memory, lanes, rows);
        for (int k = 0; k < count; ++k) result[first + k] = rows[k];
    }
    return result;
}

Name TaskEmitter::load_scattered(const Access& from, const Elements& memory, int component) {
    const std::vector<Address> addresses = lane_addresses(from, memory);
    const int lanes = kernel_.lanes;
    if (!from.table && from.lane_stride == 0 && from.active >= lanes)
        return memory.splat(memory.load_one(behind(memory, addresses[0], component * from.component_stride)), lanes);
    Name result = "zeroinitializer";
    for (int lane = 0; lane < static_cast<int>(addresses.size()); ++lane) {
        const Name element = memory.load_one(behind(memory, addresses[lane], component * from.component_stride));
        result = memory.insert(result, lanes, element, lane);
    }
    return result;
}

// Stores

void TaskEmitter::statement(const Store& node) {
    const Elements memory = elements_of(node.to);
    const bool accumulate = node.mode != StoreMode::store;
    const bool uniform = std::ranges::all_of(node.src, [&](RegId id) { return task_.registers[id].uniform; });
    if (!uniform) {
        std::vector<Name> values;
        for (const RegId id : node.src) values.push_back(convert(vector_of(id), kernel_.lanes, compute_, memory));
        return store_vectors(node.to, memory, values, accumulate);
    }
    if (node.to.active <= 0) return;
    const Address at = address(node.to);
    for (std::size_t k = 0; k < node.src.size(); ++k) {
        const Name place = behind(memory, at, static_cast<std::int64_t>(k) * node.to.component_stride);
        if (memory.dtype() == compute_.dtype())
            memory.store_one(place, scalar_of(node.src[k]), accumulate);
        else
            memory.store(place, convert(vector_of(node.src[k]), kernel_.lanes, compute_, memory), kernel_.lanes, 1, accumulate);
    }
}

void TaskEmitter::store_vectors(const Access& to, const Elements& memory, const std::vector<Name>& values, bool accumulate) {
    switch (store_shape(to, static_cast<int>(values.size()), kernel_.lanes)) {
    case Shape::interleaved: return store_interleaved(to, memory, values, accumulate);
    case Shape::rows: return store_rows(to, memory, values, accumulate);
    case Shape::unit: break;
    case Shape::broadcast:
    case Shape::scattered: return store_scattered(to, memory, values, accumulate);
    }
    const Address at = address(to);
    for (std::size_t k = 0; k < values.size(); ++k)
        memory.store(behind(memory, at, static_cast<std::int64_t>(k) * to.component_stride), values[k], kernel_.lanes, to.active,
                     accumulate);
}

void TaskEmitter::store_interleaved(const Access& to, const Elements& memory, const std::vector<Name>& values, bool accumulate) {
    const int lanes = kernel_.lanes, end = std::min(to.active, lanes) * static_cast<int>(values.size());
    const Address base = address(to);
    const std::vector<Name> vectors = interleave(memory, lanes, values);
    for (int v = 0; v * lanes < end; ++v)
        memory.store(behind(memory, base, v * lanes), vectors[v], lanes, std::min(lanes, end - v * lanes), accumulate);
}

void TaskEmitter::store_rows(const Access& to, const Elements& memory, const std::vector<Name>& values, bool accumulate) {
    const int lanes = kernel_.lanes, components = static_cast<int>(values.size());
    const int width = row_width(memory, values.size(), lanes);
    const std::vector<Address> addresses = lane_addresses(to, memory);
    for (int first = 0; first < components; first += width) {
        const int count = std::min(width, components - first);
        std::vector<Name> rows(width, "poison");
        for (int k = 0; k < count; ++k) rows[k] = values[first + k];
        transpose_blocks(memory, lanes, rows);
        for (int lane = 0; lane < static_cast<int>(addresses.size()); ++lane) {
            std::vector<int> block(width);
            for (int i = 0; i < width; ++i) block[i] = lane / width * width + i;
            const Name row = width == lanes ? rows[lane] : memory.shuffle(rows[lane % width], "", lanes, block);
            memory.store(behind(memory, addresses[lane], first), row, width, count, accumulate);
        }
    }
}

/// Lane after lane: lanes that share an element add in turn, and the last of them is what a plain store leaves.
void TaskEmitter::store_scattered(const Access& to, const Elements& memory, const std::vector<Name>& values, bool accumulate) {
    const std::vector<Address> addresses = lane_addresses(to, memory);
    for (std::size_t k = 0; k < values.size(); ++k)
        for (int lane = 0; lane < static_cast<int>(addresses.size()); ++lane)
            memory.store_one(behind(memory, addresses[lane], static_cast<std::int64_t>(k) * to.component_stride),
                             memory.element(values[k], kernel_.lanes, lane), accumulate);
}

/// One request every 64 bytes and one for the last element: operands need not start where a line does.
void TaskEmitter::statement(const Prefetch& node) {
    const Elements memory(text_, kernel_.buffers[node.buffer].dtype, masked_loads_);
    const Address base = address(node.buffer, node.base);
    const auto line = static_cast<std::int64_t>(64 / size_of(memory.dtype()));
    for (std::int64_t first = 0; first < node.count + line - 1; first += line) {
        const Name at = behind(memory, base, std::min(first, node.count - 1));
        text_.line("call void @llvm.prefetch.p0(ptr {}, i32 {}, i32 3, i32 1)", at, node.write ? 1 : 0);
    }
}

void TaskEmitter::statement(const ReduceStore& node) {
    const Elements memory = elements_of(node.to);
    const std::vector<Name> values = vectors_of(node.src);
    const Address base = address(node.to);
    const int lanes = kernel_.lanes, count = static_cast<int>(values.size());
    for (int first = 0; first < count; first += lanes) {
        const int length = std::min(lanes, count - first);
        const Name sums = convert(lane_sums(compute_, lanes, std::span(values).subspan(first, length)), lanes, compute_, memory);
        memory.store(behind(memory, base, first), sums, lanes, length, node.mode != StoreMode::store);
    }
}

}  // namespace flashtp::llvm_text
