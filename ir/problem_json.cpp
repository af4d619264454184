// Problem <-> JSON. One row a key: the rows are the grammar, the order of the canonical form and the list of suggestions.
#include <algorithm>
#include <array>
#include <limits>

#include <nlohmann/json.hpp>

#include "ir/connection_modes.hpp"
#include "ir/error.hpp"
#include "ir/nearest.hpp"
#include "ir/problem.hpp"
#include "ir/problem_json.hpp"
#include "ir/strict_json.hpp"

namespace flashtp {
namespace {

using Json = nlohmann::json;
using OrderedJson = nlohmann::ordered_json;

[[noreturn]] void wrong_type(const Json& value, std::string_view expected) {
    user_error("must be {}, not {}", expected, describe(value));
}

bool as_bool(const Json& value) {
    if (!value.is_boolean()) wrong_type(value, "true or false");
    return value.get<bool>();
}

double as_number(const Json& value) {
    if (!value.is_number()) wrong_type(value, "a number");
    return value.get<double>();
}

/// A segment's index. Fractions, signs and numbers beyond int are refused; the range of segments is checked by validate().
int read_index(const Json& value, const char* what) {
    const bool fits = value.is_number_unsigned() && value.get<std::uint64_t>() <= std::numeric_limits<int>::max();
    if (!fits) user_error("{} must be a non-negative integer, not {}", what, describe(value));
    return value.get<int>();
}

/// "instruction 3 (1, 2, 7, uvu)", from whatever the list holds.
std::string instruction_text(const Json& list, std::size_t n) {
    std::string text = fmt::format("instruction {}", n);
    if (!list.is_array() || list.empty()) return text;
    std::vector<std::string> shown;
    for (const Json& item : list) {
        if (shown.size() == 4) break;
        std::string word = describe(item);
        if (item.is_string()) word = word.substr(1, word.size() - 2);
        shown.push_back(std::move(word));
    }
    return fmt::format("{} ({})", text, fmt::join(shown, ", "));
}

Instruction read_instruction(const Json& list) {
    if (!list.is_array() || list.size() < 5 || list.size() > 6)
        user_error("must be a list [in1, in2, out, mode, weighted] or [in1, in2, out, mode, weighted, path_weight]");
    Instruction p;
    p.in1 = read_index(list[0], "in1");
    p.in2 = read_index(list[1], "in2");
    p.out = read_index(list[2], "out");
    if (!list[3].is_string()) wrong_type(list[3], "a mode such as \"uvu\"");
    const std::string& mode = list[3].get_ref<const std::string&>();
    const std::optional<ConnectionMode> known = find_connection_mode(mode);
    if (!known)
        user_error("mode {} is not one of {}{}", quote(mode), fmt::join(connection_mode_names(), ", "),
                   did_you_mean(mode, connection_mode_names()));
    p.mode = *known;
    p.weighted = with_context("weighted", [&] { return as_bool(list[4]); });
    if (list.size() == 6) p.path_weight = with_context("path_weight", [&] { return as_number(list[5]); });
    return p;
}

/// The words an enumeration is written with are those of its to_string().
template <class Enum>
constexpr std::array<Enum, 0> choices{};
template <>
constexpr std::array choices<IrrepNormalization>{IrrepNormalization::component, IrrepNormalization::norm,
                                                 IrrepNormalization::none};
template <>
constexpr std::array choices<PathNormalization>{PathNormalization::element, PathNormalization::path, PathNormalization::none};
template <>
constexpr std::array choices<Layout>{Layout::mul_ir, Layout::ir_mul};
template <>
constexpr std::array choices<DType>{DType::float32, DType::float64};
constexpr std::array storage_choices{DType::float32, DType::float64, DType::bfloat16, DType::float16};

template <class Enum, std::size_t count>
Enum read_choice(const Json& value, const std::array<Enum, count>& all) {
    std::vector<std::string_view> names;
    for (Enum choice : all) names.push_back(to_string(choice));
    const std::string expected = fmt::format("one of {}", fmt::join(names, ", "));
    if (!value.is_string()) wrong_type(value, expected);
    const std::string& text = value.get_ref<const std::string&>();
    const auto found = std::find(names.begin(), names.end(), text);
    if (found == names.end()) user_error("must be {}, not {}{}", expected, quote(text), did_you_mean(text, names));
    return all[static_cast<std::size_t>(found - names.begin())];
}

template <class Enum>
void read(const Json& value, Enum& target) {
    target = read_choice(value, choices<Enum>);
}

void read(const Json& value, std::optional<DType>& target) { target = read_choice(value, storage_choices); }

void read(const Json& value, bool& target) { target = as_bool(value); }

void read(const Json& value, std::string& target) {
    if (!value.is_string()) wrong_type(value, "a string");
    target = value.get<std::string>();
}

/// Irreps are e3nn's text; its `(multiplicity, irrep)` lists have no counterpart.
void read(const Json& value, Irreps& target) {
    if (!value.is_string()) wrong_type(value, "a string such as \"128x0e+64x1o\"");
    target = Irreps::parse(value.get_ref<const std::string&>());
}

void read(const Json& value, std::vector<double>& target) {
    if (!value.is_array()) wrong_type(value, "an array of numbers, one a segment");
    for (std::size_t n = 0; n < value.size(); ++n)
        target.push_back(with_context(fmt::format("[{}]", n), [&] { return as_number(value[n]); }));
}

void read(const Json& value, std::vector<Instruction>& target) {
    if (!value.is_array()) wrong_type(value, "an array of lists [in1, in2, out, mode, weighted, path_weight]");
    for (std::size_t n = 0; n < value.size(); ++n) {
        const auto read_one = [&] { return read_instruction(value[n]); };
        target.push_back(with_context(instruction_text(value[n], n), read_one));
    }
}

void check_keys(const Json& object, const std::vector<std::string_view>& names) {
    for (const auto& item : object.items())
        if (std::find(names.begin(), names.end(), item.key()) == names.end())
            user_error("unknown key {}{}", quote(item.key()), did_you_mean(item.key(), names));
}

void read(const Json& value, std::optional<Radial>& target) {
    if (!value.is_object()) wrong_type(value, R"(an object such as {"hidden": 64})");
    check_keys(value, {"hidden", "scale", "bias"});
    const auto given = [&](const char* key, auto action) {
        const auto found = value.find(key);
        if (found != value.end() && !found->is_null()) with_context(key, [&] { action(*found); });
    };
    Radial radial;
    if (!value.contains("hidden")) user_error("missing key \"hidden\"");
    radial.hidden = read_index(value["hidden"], "hidden");
    given("scale", [&](const Json& v) { radial.scale = as_number(v); });
    given("bias", [&](const Json& v) { radial.bias = as_bool(v); });
    target = radial;
}

template <class Enum>
OrderedJson write(Enum value) {
    return to_string(value);
}

OrderedJson write(std::optional<DType> value) { return value ? OrderedJson(to_string(*value)) : OrderedJson(nullptr); }

OrderedJson write(bool value) { return value; }
OrderedJson write(const std::string& value) { return value; }
OrderedJson write(const Irreps& value) { return to_string(value); }

/// Empty is e3nn's None, which stands for all ones.
OrderedJson write(const std::vector<double>& value) { return value.empty() ? OrderedJson(nullptr) : OrderedJson(value); }

OrderedJson write(const std::optional<Radial>& value) {
    if (!value) return nullptr;
    return {{"hidden", value->hidden}, {"scale", value->scale}, {"bias", value->bias}};
}

OrderedJson write(const std::vector<Instruction>& value) {
    OrderedJson list = OrderedJson::array();
    for (const Instruction& p : value) list.push_back({p.in1, p.in2, p.out, to_string(p.mode), p.weighted, p.path_weight});
    return list;
}

struct Key {
    std::string_view name;
    bool required;
    void (*read_from)(const Json&, Problem&);
    OrderedJson (*written)(const Problem&);
};

template <auto member>
Key key(std::string_view name, bool required = false) {
    return {name, required, [](const Json& value, Problem& problem) { read(value, problem.*member); },
            [](const Problem& problem) { return write(problem.*member); }};
}

const std::vector<Key> keys{
    key<&Problem::name>("name"),
    key<&Problem::irreps_in1>("irreps_in1", true),
    key<&Problem::irreps_in2>("irreps_in2", true),
    key<&Problem::irreps_out>("irreps_out", true),
    key<&Problem::instructions>("instructions", true),
    key<&Problem::in1_var>("in1_var"),
    key<&Problem::in2_var>("in2_var"),
    key<&Problem::out_var>("out_var"),
    key<&Problem::irrep_normalization>("irrep_normalization"),
    key<&Problem::path_normalization>("path_normalization"),
    key<&Problem::shared_weights>("shared_weights"),
    key<&Problem::radial>("radial"),
    key<&Problem::convolution>("convolution"),
    key<&Problem::deterministic>("deterministic"),
    key<&Problem::strict>("strict"),
    key<&Problem::dtype>("dtype"),
    key<&Problem::dtype_in2>("dtype_in2"),
    key<&Problem::dtype_weights>("dtype_weights"),
    key<&Problem::layout_in1>("layout_in1"),
    key<&Problem::layout_in2>("layout_in2"),
    key<&Problem::layout_out>("layout_out"),
};

/// null stands for the default, as None does in e3nn.
Problem read_object(const Json& object) {
    check_keys(object, problem_keys());
    Problem problem;
    for (const Key& known : keys) {
        const auto found = object.find(known.name);
        const bool absent = found == object.end() || (found->is_null() && !known.required);
        if (absent && known.required) user_error("missing key \"{}\"", known.name);
        if (!absent) with_context(known.name, [&] { known.read_from(*found, problem); });
    }
    return problem;
}

/// A line of an ir_config file: tp = [irreps_in1, irreps_in2, irreps_out, instructions], a convolution with a weight row an edge.
Problem read_layer(const Json& layer) {
    for (const Key& known : keys)
        if (known.name != "name" && layer.contains(known.name))
            user_error("{} beside \"tp\": the short form has no other keys; write irreps_in1, irreps_in2, irreps_out and instructions",
                       quote(known.name));
    const Json& tp = layer["tp"];
    if (!tp.is_array() || tp.size() != 4)
        user_error("tp: must be a list [irreps_in1, irreps_in2, irreps_out, instructions], not {}", describe(tp));
    const Json object{{"irreps_in1", tp[0]}, {"irreps_in2", tp[1]}, {"irreps_out", tp[2]}, {"instructions", tp[3]}};
    return read_object(object);
}

}  // namespace

Problem parse_problem_or_layer(std::string_view text, const std::string& default_name) {
    const Json value = parse_strict_json(text);
    if (!value.is_object()) user_error("a specification must be a JSON object, not {}", describe(value));
    const auto tp = value.find("tp");
    Problem problem = tp == value.end() ? read_object(value) : read_layer(value);
    if (problem.name.empty()) problem.name = default_name;
    validate(problem);
    return problem;
}

Problem parse_problem(std::string_view text) { return parse_problem_or_layer(text, ""); }

std::string to_json(const Problem& problem, int indent) {
    OrderedJson object;
    for (const Key& known : keys) object[std::string(known.name)] = known.written(problem);
    return object.dump(indent);
}

std::vector<std::string_view> problem_keys() {
    std::vector<std::string_view> names;
    for (const Key& known : keys) names.push_back(known.name);
    return names;
}

}  // namespace flashtp
