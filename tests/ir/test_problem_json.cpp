#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

#include <nlohmann/json.hpp>

#include "ir/problem.hpp"
#include "ir/problem_json.hpp"
#include "tests/ir/errors.hpp"
#include "runtime/problem_file.hpp"

using namespace flashtp;
using flashtp::test::contains;
using flashtp::test::error_of;

namespace {

namespace fs = std::filesystem;

const std::string source_dir = FLASHTP_SOURCE_DIR;

std::string read_file(const fs::path& path) {
    std::ifstream file(path, std::ios::binary);
    REQUIRE_MESSAGE(file.good(), path.string());
    std::stringstream text;
    text << file.rdbuf();
    return text.str();
}

/// A folder that is gone after the test.
class TemporaryFolder {
  public:
    TemporaryFolder() : path_(fs::path(FLASHTP_BINARY_DIR) / "test_problem_json") {
        fs::remove_all(path_);
        fs::create_directories(path_);
    }
    ~TemporaryFolder() {
        std::error_code ignored;
        fs::remove_all(path_, ignored);
    }
    TemporaryFolder(const TemporaryFolder&) = delete;
    TemporaryFolder& operator=(const TemporaryFolder&) = delete;

    std::string write(const std::string& name, const std::string& text) const {
        std::ofstream(path_ / name, std::ios::binary) << text;
        return (path_ / name).string();
    }
    std::string path(const std::string& name) const { return (path_ / name).string(); }

  private:
    fs::path path_;
};

/// A small legal specification with one key replaced, added or (value "") removed.
std::string spec_with(std::string_view key, std::string_view value) {
    std::vector<std::pair<std::string, std::string>> entries{{"irreps_in1", "\"4x0e+2x1o\""},
                                                             {"irreps_in2", "\"1x0e+1x1o\""},
                                                             {"irreps_out", "\"4x0e+4x1o\""},
                                                             {"instructions", "[[0, 0, 0, \"uvu\", true]]"}};
    const auto same = [&](const auto& entry) { return entry.first == key; };
    std::erase_if(entries, same);
    if (!value.empty()) entries.emplace_back(key, value);
    std::string text;
    for (const auto& [name, json] : entries) text += (text.empty() ? "{\"" : ", \"") + name + "\": " + json;
    return text + "}";
}

const char* const small_layer = R"({"tp": ["4x0e", "1x0e+1x1o", "4x0e+4x1o", [[0, 0, 0, "uvu", true], [0, 1, 1, "uvu", true]]]})";

}  // namespace

TEST_CASE("json: defaults") {
    const Problem problem = parse_problem(spec_with("", ""));
    Problem expected;
    expected.irreps_in1 = Irreps::parse("4x0e+2x1o");
    expected.irreps_in2 = Irreps::parse("1x0e+1x1o");
    expected.irreps_out = Irreps::parse("4x0e+4x1o");
    expected.instructions = {{0, 0, 0, ConnectionMode::uvu, true, 1.0}};
    CHECK(problem == expected);
    CHECK_FALSE(problem.shared_weights);
    CHECK(problem.convolution);
    CHECK(problem.dtype == DType::float32);
}

TEST_CASE("json: every key is read") {
    struct Row {
        std::string_view key;
        std::string_view value;
        bool (*arrived)(const Problem&);
    };
    const Row rows[] = {
        {"name", "\"layer 2\"", [](const Problem& p) { return p.name == "layer 2"; }},
        {"irreps_in1", "\" 4x0e + 1y \"", [](const Problem& p) { return p.irreps_in1 == Irreps::parse("4x0e+1x1o"); }},
        {"irreps_in2", "\"1x0e\"", [](const Problem& p) { return p.irreps_in2 == Irreps::parse("1x0e"); }},
        {"irreps_out", "\"4x0e\"", [](const Problem& p) { return p.irreps_out == Irreps::parse("4x0e"); }},
        {"instructions", "[[0, 1, 1, \"uvu\", false, 2.5], [0, 0, 0, \"uvu\", true, 3]]",
         [](const Problem& p) {
             return p.instructions == std::vector<Instruction>{{0, 1, 1, ConnectionMode::uvu, false, 2.5},
                                                               {0, 0, 0, ConnectionMode::uvu, true, 3.0}};
         }},
        {"in1_var", "[2, 0.5]", [](const Problem& p) { return p.in1_var == std::vector<double>{2.0, 0.5}; }},
        {"in2_var", "[2.0, 0]", [](const Problem& p) { return p.in2_var == std::vector<double>{2.0, 0.0}; }},
        {"out_var", "[1e-3, 1]", [](const Problem& p) { return p.out_var == std::vector<double>{1e-3, 1.0}; }},
        {"irrep_normalization", "\"norm\"", [](const Problem& p) { return p.irrep_normalization == IrrepNormalization::norm; }},
        {"path_normalization", "\"path\"", [](const Problem& p) { return p.path_normalization == PathNormalization::path; }},
        {"shared_weights", "true", [](const Problem& p) { return p.shared_weights; }},
        {"radial", R"({"hidden": 8, "scale": 0.5, "bias": true})",
         [](const Problem& p) { return p.radial == Radial{8, 0.5, true}; }},
        {"convolution", "false", [](const Problem& p) { return !p.convolution; }},
        {"deterministic", "true", [](const Problem& p) { return p.deterministic; }},
        {"strict", "true", [](const Problem& p) { return p.strict; }},
        {"dtype", "\"float64\"", [](const Problem& p) { return p.dtype == DType::float64; }},
        {"dtype_in2", "\"float16\"", [](const Problem& p) { return p.dtype_in2 == DType::float16; }},
        {"dtype_weights", "\"bfloat16\"", [](const Problem& p) { return p.dtype_weights == DType::bfloat16; }},
        {"layout_in1", "\"ir_mul\"", [](const Problem& p) { return p.layout_in1 == Layout::ir_mul; }},
        {"layout_in2", "\"ir_mul\"", [](const Problem& p) { return p.layout_in2 == Layout::ir_mul; }},
        {"layout_out", "\"ir_mul\"", [](const Problem& p) { return p.layout_out == Layout::ir_mul; }},
    };
    std::vector<std::string_view> keys;
    for (const Row& row : rows) {
        CAPTURE(row.key);
        keys.push_back(row.key);
        const Problem problem = parse_problem(spec_with(row.key, row.value));
        CHECK(row.arrived(problem));
        CHECK(parse_problem(to_json(problem)) == problem);
        CHECK(parse_problem(to_json(problem, 2)) == problem);
    }
    CHECK(keys == problem_keys());  // a new key needs a row here
}

TEST_CASE("json: null is the default of an optional key") {
    const Problem expected = parse_problem(spec_with("", ""));
    for (std::string_view key : problem_keys()) {
        CAPTURE(key);
        const bool required = contains(key, "irreps_") || key == "instructions";
        const std::string text = spec_with(key, "null");
        if (required)
            CHECK(contains(error_of([&] { parse_problem(text); }), std::string(key) + ": must be "));
        else
            CHECK(parse_problem(text) == expected);
    }
}

TEST_CASE("json: canonical form has every key, in order, and does not depend on the input's form") {
    Problem problem = parse_problem(spec_with("in1_var", "[0.1, 1e-7]"));
    problem.name = "a";
    CHECK(to_json(problem) ==
          R"({"name":"a","irreps_in1":"4x0e+2x1o","irreps_in2":"1x0e+1x1o","irreps_out":"4x0e+4x1o",)"
          R"("instructions":[[0,0,0,"uvu",true,1.0]],"in1_var":[0.1,1e-07],"in2_var":null,"out_var":null,)"
          R"("irrep_normalization":"component","path_normalization":"element","shared_weights":false,"radial":null,)"
          R"("convolution":true,"deterministic":false,"strict":false,"dtype":"float32","dtype_in2":null,"dtype_weights":null,)"
          R"("layout_in1":"mul_ir","layout_in2":"mul_ir","layout_out":"mul_ir"})");
    std::vector<std::string_view> keys;
    const auto object = nlohmann::ordered_json::parse(to_json(problem));
    for (const auto& item : object.items()) keys.push_back(item.key());
    CHECK(keys == problem_keys());
}

TEST_CASE("json: numbers survive a round trip to the last bit") {
    for (double value : {0.1, 1.0 / 3.0, 5e-324, 2.2250738585072014e-308, 123456789.123456789, 1e22}) {
        Problem problem = parse_problem(spec_with("", ""));
        problem.instructions[0].path_weight = value;
        CHECK(parse_problem(to_json(problem)).instructions[0].path_weight == value);
    }
}

TEST_CASE("json: errors name the key or instruction and the rule") {
    struct Row {
        std::string_view key;
        std::string_view value;
        std::string_view message;
    };
    const Row rows[] = {
        {"irreps_in1", "", "missing key \"irreps_in1\""},
        {"instructions", "", "missing key \"instructions\""},
        {"irreps_in1", "4", "irreps_in1: must be a string such as \"128x0e+64x1o\", not 4"},
        {"irreps_in1", "[[4, [0, 1]]]", "irreps_in1: must be a string such as \"128x0e+64x1o\", not an array"},
        {"irreps_in2", "\"1x0e+1x1z\"", "irreps_in2: irreps term 1 \"1x1z\" must end with the parity"},
        {"irreps_out", "\"4x9e\"", "limit: irreps_out: irreps term 0 \"4x9e\": degree l 9 is over the limit max_l"},
        // unknown keys
        {"irrep_in1", "\"4x0e\"", "unknown key \"irrep_in1\"; did you mean \"irreps_in1\"?"},
        {"irrep_normalisation", "\"norm\"", "unknown key \"irrep_normalisation\"; did you mean \"irrep_normalization\"?"},
        {"shared_weight", "true", "unknown key \"shared_weight\"; did you mean \"shared_weights\"?"},
        {"layout", "\"mul_ir\"", "unknown key \"layout\"; did you mean \"layout_"},
        {"DType", "\"float32\"", "unknown key \"DType\"; did you mean \"dtype\"?"},
        {"qqqqqqqqqqqq", "1", "unknown key \"qqqqqqqqqqqq\""},
        // words
        {"dtype", "\"float16\"", "dtype: must be one of float32, float64, not \"float16\"; did you mean \"float32\"?"},
        {"dtype", "32", "dtype: must be one of float32, float64, not 32"},
        {"layout_in1", "\"mulir\"", "layout_in1: must be one of mul_ir, ir_mul, not \"mulir\"; did you mean \"mul_ir\"?"},
        {"path_normalization", "\"elements\"",
         "path_normalization: must be one of element, path, none, not \"elements\"; did you mean \"element\"?"},
        {"irrep_normalization", "true", "irrep_normalization: must be one of component, norm, none, not true"},
        // flags and numbers
        {"shared_weights", "1", "shared_weights: must be true or false, not 1"},
        {"convolution", "\"true\"", "convolution: must be true or false, not \"true\""},
        {"name", "3", "name: must be a string, not 3"},
        {"name", "\"a\\nb\"", "name \"a?b\": only letters, digits"},
        {"in1_var", "2.0", "in1_var: must be an array of numbers, one a segment, not 2.0"},
        {"in1_var", "[1, \"2\"]", "in1_var: [1]: must be a number, not \"2\""},
        {"in1_var", "[1]", "in1_var has 1 numbers, but irreps_in1 has 2 segments"},
        {"in1_var", "[1, -1]", "in1_var[1] = -1: a variance must be finite and not negative"},
        {"in1_var", "[1, NaN]", "JSON has no NaN or Infinity"},
        {"in1_var", "[1, Infinity]", "JSON has no NaN or Infinity"},
        {"in1_var", "[1, -Infinity]", "JSON has no NaN or Infinity"},
        {"in1_var", "[1, 1e999]", "not valid JSON: number overflow parsing '1e999'"},
        // instructions
        {"instructions", "{}", "instructions: must be an array of lists"},
        {"instructions", "[0]", "instructions: instruction 0: must be a list [in1, in2, out, mode, weighted]"},
        {"instructions", "[[0, 0, 0, \"uvu\"]]", "instruction 0 (0, 0, 0, uvu): must be a list"},
        {"instructions", "[[0, 0, 0, \"uvu\", true, 1, 1]]", "instruction 0 (0, 0, 0, uvu): must be a list"},
        {"instructions", "[[0, 0, 0, \"uvu\", true], [-1, 0, 0, \"uvu\", true]]",
         "instruction 1 (-1, 0, 0, uvu): in1 must be a non-negative integer, not -1"},
        {"instructions", "[[0, 0.5, 0, \"uvu\", true]]", "in2 must be a non-negative integer, not 0.5"},
        {"instructions", "[[0, 0, 1.0, \"uvu\", true]]", "out must be a non-negative integer, not 1.0"},
        {"instructions", "[[0, 0, 99999999999, \"uvu\", true]]", "out must be a non-negative integer, not 99999999999"},
        {"instructions", "[[0, 0, 1e30, \"uvu\", true]]", "out must be a non-negative integer, not 1e+30"},
        {"instructions", "[[0, 0, true, \"uvu\", true]]", "out must be a non-negative integer, not true"},
        {"instructions", "[[0, 0, 0, \"uvx\", true]]",
         "instruction 0 (0, 0, 0, uvx): mode \"uvx\" is not one of uvw, uvu, uvv, uuw, uuu, uvuv, uvu<v, u<vw; did you mean "
         "\"uv"},
        {"instructions", "[[0, 0, 0, 3, true]]", "instruction 0 (0, 0, 0, 3): must be a mode such as \"uvu\", not 3"},
        {"instructions", "[[0, 0, 0, \"uvu\", 1]]", "instruction 0 (0, 0, 0, uvu): weighted: must be true or false, not 1"},
        {"instructions", "[[0, 0, 0, \"uvu\", true, \"1\"]]",
         "instruction 0 (0, 0, 0, uvu): path_weight: must be a number, not \"1\""},
        {"instructions", "[[0, 0, 0, \"uvu\", true, -0.5]]",
         "instruction 0 (0, 0, 0, uvu): path_weight -0.5 must be finite and not negative"},
        {"instructions", "[[0, 0, 2, \"uvu\", true]]",
         "instruction 0 (0, 0, 2, uvu): out = 2 is not a segment of irreps_out, which has 2"},
    };
    for (const Row& row : rows) {
        const std::string error = error_of([&] { parse_problem(spec_with(row.key, row.value)); });
        CAPTURE(error);
        CAPTURE(row.message);
        CHECK(contains(error, row.message));
    }
}

TEST_CASE("json: text that is not one object") {
    struct Row {
        std::string text;
        std::string_view message;
    };
    const Row rows[] = {
        {"", "not valid JSON: parse error"},
        {"{", "not valid JSON: parse error at line 1, column 2"},
        {"[]", "a specification must be a JSON object, not an array"},
        {"\"x\"", "a specification must be a JSON object, not \"x\""},
        {"{} {}", "not valid JSON: parse error"},
        {"{\"name\": \"\xff\"}", "not valid JSON: parse error"},
        {std::string("{\"na\0me\": 1}", 12), "not valid JSON: parse error"},
        {"// comment\n{}", "not valid JSON: parse error"},
        {R"({"name": "a", "name": "b"})", "duplicate key \"name\""},
        {R"({"irreps_in1": "0e", "instructions": [], "irreps_in1": "1o"})", "duplicate key \"irreps_in1\""},
        {R"({"tp": [], "x": [{"deep": {"a": 1, "a": 2}}]})", "duplicate key \"a\""},
        {R"({"tp": [], "tp": []})", "duplicate key \"tp\""},
    };
    for (const Row& row : rows) {
        const std::string error = error_of([&] { parse_problem(row.text); });
        CAPTURE(error);
        CHECK(contains(error, row.message));
    }
}

TEST_CASE("json: equal keys in different objects are no duplicates") {
    CHECK_NOTHROW(parse_problem(R"({"tp": ["4x0e", "1x0e", "4x0e", []], "a": {"x": 1, "y": {"x": 1}}, "b": {"x": 1}})"));
}

TEST_CASE("json: an ir_config layer") {
    const Problem problem = parse_problem(small_layer);
    CHECK(problem.instructions.size() == 2);
    CHECK(problem.convolution);
    CHECK_FALSE(problem.shared_weights);
    CHECK(problem.name == "");
    std::string with_others = small_layer;
    with_others.insert(1, R"("sc": ["4x0e", "2x0e", "8x0e"], "name": 7, "anything": {"x": [null]}, )");
    CHECK(parse_problem(with_others) == problem);
    std::string with_known = small_layer;
    with_known.insert(1, R"("radial": {"hidden": 8}, )");
    CHECK(contains(error_of([&] { parse_problem(with_known); }), "\"radial\" beside \"tp\": the short form has no other keys"));
    CHECK(contains(error_of([&] { parse_problem(R"({"tp": ["4x0e", "1x0e", "4x0e"]})"); }),
                   "tp: must be a list [irreps_in1, irreps_in2, irreps_out, instructions]"));
    CHECK(contains(error_of([&] { parse_problem(R"({"tp": ["4x0e", "1x0e", "4x0o", [[0, 0, 0, "uvu", true]]]})"); }),
                   "instruction 0 (0, 0, 0, uvu): parities do not multiply"));
}

TEST_CASE("json: files of one object and of one layer a line") {
    const TemporaryFolder folder;
    const std::string layer = small_layer;
    const std::string lines = folder.write("two layers.json", layer + "\n\n" + layer + "\r\n");
    const std::string one = folder.write("one.json", layer + "\n");
    const std::string object = folder.write("object.v1.json", "{\n" + spec_with("", "").substr(1) + "\n");
    const std::string named = folder.write("named.json", spec_with("name", "\"mine\""));
    const std::string colon = folder.write("odd:7", layer);

    CHECK(load_problem(lines + ":1").name == "two_layers:1");
    CHECK(load_problem(lines + ":3").name == "two_layers:3");
    CHECK(load_problem(one).name == "one");
    CHECK(load_problem(one + ":1").name == "one");
    CHECK(load_problem(object).name == "object.v1");
    CHECK(load_problem(named).name == "mine");
    CHECK(load_problem(colon).name == "odd_7");
    CHECK(load_problems(lines).size() == 2);
    CHECK(load_problems(lines)[1].name == "two_layers:3");
    CHECK(load_problems(lines + ":3").size() == 1);
    CHECK(load_problems(object).size() == 1);
    CHECK(load_problems(one)[0] == load_problem(one));

    struct Row {
        std::string spec;
        std::string_view message;
    };
    const Row rows[] = {
        {lines, "two layers.json: has a layer a line; name one of its 3 lines, as in"},
        {lines + ":0", ":0: lines are numbered from 1"},
        {lines + ":2", ":2: the line is blank"},
        {lines + ":4", ":4: the file has 3 lines"},
        {lines + ":99999999999999999999", "lines are numbered from 1"},
        {lines + ":x", "cannot be read"},
        {lines + ":", "cannot be read"},
        {object + ":2", "holds one layer; leave out the line number 2"},
        {folder.path("none.json"), "none.json: cannot be read"},
        {folder.path("none.json:1"), "none.json: cannot be read"},
        {folder.path(""), "is a directory, not a specification file"},
        {folder.write("empty.json", ""), "empty.json: not valid JSON"},
        {folder.write("bad.json", layer + "\n{\"tp\": 3}\n") + ":2", "bad.json:2: tp: must be a list"},
    };
    for (const Row& row : rows) {
        const std::string error = error_of([&] { load_problem(row.spec); });
        CAPTURE(row.spec);
        CAPTURE(error);
        CHECK(contains(error, row.message));
    }
    // A broken line does not keep the others from being used one by one.
    CHECK_NOTHROW(load_problem(folder.path("bad.json") + ":1"));
    CHECK(contains(error_of([&] { load_problems(folder.path("bad.json")); }), "bad.json:2: "));
}

TEST_CASE("json: the example specifications") {
    const std::map<std::string, std::size_t> layers{
        {"allegro-uuu", 1}, {"diffdock-uvw", 1},  {"mace-large", 2},      {"mace-medium", 2}, {"mace-small", 2},
        {"nequip-l1", 4},   {"nequip-l2", 4},     {"nequip-l3", 4},       {"nequip-l4", 4},   {"nequip-l5", 4},
        {"sevennet-0", 5},  {"sevennet-l3i5", 5}, {"sevennet-mf-ompa", 5}};
    std::map<std::string, std::size_t> found;
    for (const auto& entry : fs::directory_iterator(source_dir + "/examples/specs")) {
        if (entry.path().extension() != ".json") continue;
        const std::vector<Problem> problems = load_problems(entry.path().string());
        found[entry.path().stem().string()] = problems.size();
        for (const Problem& problem : problems) {
            CAPTURE(problem.name);
            CHECK(parse_problem(to_json(problem)) == problem);
            CHECK_FALSE(problem.instructions.empty());
        }
    }
    CHECK(found == layers);
}

TEST_CASE("json: the main layer of SevenNet-l3i5") {
    const Problem problem = load_problem(source_dir + "/examples/specs/sevennet-l3i5.json:2");
    CHECK(problem.name == "sevennet-l3i5:2");
    CHECK(problem.irreps_in1 == Irreps::parse("128x0e+64x1e+32x2e+32x3e"));
    CHECK(problem.irreps_in2.dim() == 16);
    CHECK(problem.instructions.size() == 34);
    CHECK(weight_numel(problem) == 1760);
    // Every output has its own path, so the coefficient is sqrt(2 l_out + 1).
    const std::vector<double> coefficients = path_coefficients(problem);
    CHECK(coefficients[0] == 1.0);
    CHECK(coefficients[1] == std::sqrt(3.0));
    CHECK(coefficients[3] == std::sqrt(7.0));
}

TEST_CASE("json: the documentation's examples parse and it names every key") {
    const std::string text = read_file(source_dir + "/docs/spec.md");
    for (std::string_view key : problem_keys()) {
        CAPTURE(key);
        CHECK(contains(text, "| `" + std::string(key) + "` |"));
    }
    int examples = 0;
    const std::string fence = "```json\n";
    for (std::size_t at = text.find(fence); at != std::string::npos; at = text.find(fence, at + 1)) {
        const std::size_t start = at + fence.size();
        CHECK_NOTHROW(parse_problem(text.substr(start, text.find("```", start) - start)));
        ++examples;
    }
    CHECK(examples >= 2);
}
