#include <time.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include "ir/limits.hpp"
#include "ir/problem.hpp"
#include "runtime/problem_file.hpp"
#include "tests/ir/errors.hpp"
#include "tests/support/file_text.hpp"

using namespace flashtp;
using flashtp::test::contains;
using flashtp::test::error_of;
using flashtp::test::kept_text;

namespace {

namespace fs = std::filesystem;

std::string repeated(std::int64_t times, const std::string& text, const std::string& separator) {
    std::string all;
    for (std::int64_t n = 0; n < times; ++n) {
        if (n > 0) all += separator;
        all += text;
    }
    return all;
}

std::string spec(const std::string& in1, const std::string& in2, const std::string& out, const std::string& instructions,
                 const std::string& more = "") {
    return "{\"irreps_in1\":\"" + in1 + "\",\"irreps_in2\":\"" + in2 + "\",\"irreps_out\":\"" + out + "\",\"instructions\":[" +
           instructions + "]" + more + "}";
}

std::string padded(std::string text, std::int64_t size) {
    text.resize(static_cast<std::size_t>(size), ' ');
    return text;
}

std::string nested(std::int64_t depth) {
    const auto n = static_cast<std::size_t>(depth);
    return "{\"tp\":[\"0e\",\"0e\",\"0e\",[]],\"x\":" + std::string(n, '[') + std::string(n, ']') + "}";
}

const std::string uvu = "[0,0,0,\"uvu\",true]";
const std::string uvw = "[0,0,0,\"uvw\",true]";

/// Processor time, since the machine may be busy.
double thread_milliseconds() {
    timespec now{};
    ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return 1e3 * static_cast<double>(now.tv_sec) + 1e-6 * static_cast<double>(now.tv_nsec);
}

/// Of the quickest of three runs.
double milliseconds(const std::function<void()>& run) {
    double best = 1e9;
    for (int n = 0; n < 3; ++n) {
        const double start = thread_milliseconds();
        run();
        best = std::min(best, thread_milliseconds() - start);
    }
    return best;
}

/// What reading the text costs on this machine; nothing where its size alone refuses it.
double parse_milliseconds(const std::string& text) {
    if (static_cast<std::int64_t>(text.size()) > limits::max_json_bytes.value) return 0;
    return milliseconds([&] { (void)nlohmann::json::accept(text); });
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr double allowed_ms = 500;
#else
constexpr double allowed_ms = 50;
#endif

/// docs/limits.md as the table has it.
std::string documentation() {
    std::string text =
        "# Limits\n\n"
        "A specification beyond one of these is refused before any code is generated, with a message that names the limit.\n"
        "Oversized text is refused by its byte count before it is parsed; depth, values and instructions are counted while it\n"
        "is parsed; the rest is checked right after.\n\n"
        "The table is `ir/limits.hpp`; a test keeps this page equal to it (`FLASHTP_BLESS=1` rewrites the page).\n\n"
        "| limit | value | what it bounds |\n|---|---:|---|\n";
    for (const Limit& limit : limits::all) text += fmt::format("| `{}` | {} | {} |\n", limit.name, limit.value, limit.what);
    return text;
}

}  // namespace

TEST_CASE("limits: a specification at the limit is accepted and one beyond is refused with the limit's name") {
    using namespace flashtp::limits;
    struct Row {
        const Limit& limit;
        std::string at, beyond;
    };
    // Sizes that keep the other limits out of the way.
    const std::string one = spec("0e", "0e", "0e", uvu);
    const Row rows[] = {
        {max_l, spec("8e", "0e", "8e", uvu), spec("9e", "0e", "9e", uvu)},
        {max_multiplicity, spec("65536x0e", "0e", "65536x0e", uvu), spec("65537x0e", "0e", "65537x0e", uvu)},
        {max_hidden, spec("0e", "0e", "0e", uvu, ",\"radial\":{\"hidden\":4096}"),
         spec("0e", "0e", "0e", uvu, ",\"radial\":{\"hidden\":4097}")},
        {max_segments, spec(repeated(4096, "0e", "+"), "0e", "0e", uvu), spec(repeated(4097, "0e", "+"), "0e", "0e", uvu)},
        {max_instructions, spec("0e", "0e", "0e", repeated(4096, uvu, ",")), spec("0e", "0e", "0e", repeated(4097, uvu, ","))},
        {max_row_width, spec(repeated(897, "65536x8e", "+"), "", "", ""), spec(repeated(898, "65536x8e", "+"), "", "", "")},
        // one weighted scalar path of m1 m2 m3 channels: 2 m1 m2 + m1 m2 m3 at most
        {max_work, spec("1000x0e", "1000x0e", "998x0e", uvw), spec("1000x0e", "1000x0e", "999x0e", uvw)},
        {max_entries, spec("8e", "8e", "8e", repeated(3460, uvu, ",")), spec("8e", "8e", "8e", repeated(3461, uvu, ","))},
        {max_json_bytes, padded(one, max_json_bytes.value), padded(one, max_json_bytes.value + 1)},
        {max_json_depth, nested(max_json_depth.value - 1), nested(max_json_depth.value)},
        // one array of n numbers, beside 8 other values and keys and the object
        {max_json_values, "{\"tp\":[\"\",\"\",\"\",[]],\"x\":[" + repeated(max_json_values.value - 9, "0", ",") + "]}",
         "{\"tp\":[\"\",\"\",\"\",[]],\"x\":[" + repeated(max_json_values.value - 8, "0", ",") + "]}"},
        {max_name_bytes, spec("0e", "0e", "0e", uvu, ",\"name\":\"" + std::string(200, 'a') + "\""),
         spec("0e", "0e", "0e", uvu, ",\"name\":\"" + std::string(201, 'a') + "\"")},
    };
    std::size_t covered = 1;  // max_layers, which bounds files and has a test of its own
    for (const Row& row : rows) {
        CAPTURE(row.limit.name);
        CHECK(error_of([&] { parse_problem(row.at); }) == "(no error)");
        const std::string error = error_of([&] { parse_problem(row.beyond); });
        CAPTURE(error);
        CHECK(error.starts_with("limit: "));
        CHECK(contains(error, fmt::format("is over the limit {} = {}", row.limit.name, row.limit.value)));
        ++covered;
    }
    CHECK(covered == std::size(all));
}

TEST_CASE("limits: hostile specifications are refused quickly") {
    struct Row {
        std::string_view limit;
        std::string text;
    };
    const Row rows[] = {
        {"max_l", spec("1x1000e", "0e", "0e", uvu)},
        {"max_multiplicity", spec("1000000000x0e", "0e", "0e", uvu)},
        {"max_multiplicity", spec("1" + std::string(30, '0') + "x0e", "0e", "0e", uvu)},
        {"max_multiplicity", spec(std::string(1'000'000, '9') + "x0e", "0e", "0e", uvu)},
        {"max_segments", spec(repeated(150'000, "1x0e", "+"), "0e", "0e", uvu)},
        {"max_instructions", spec("0e", "0e", "0e", repeated(45'000, uvu, ","))},
        {"max_json_bytes", spec("0e", "0e", "0e", repeated(1'000'000, uvu, ","))},
        {"max_json_bytes", padded("{", 100'000'000)},
        {"max_json_depth", std::string(100'000, '[')},
        {"max_json_depth", repeated(100'000, "{\"a\":", "")},
        {"max_json_values", "{\"in1_var\":[" + repeated(500'000, "1", ",") + "]}"},
        {"max_json_values", "{\"tp\":[[" + repeated(2'000, "[" + repeated(200, "1", ",") + "]", ",") + "]]}"},
        {"max_work", spec("65536x0e", "65536x0e", "65536x0e", uvw)},
        {"max_work", spec("65536x8e", "65536x8e", "65536x8e", repeated(3000, uvw, ","))},
        {"max_entries", spec("8e", "8e", "8e", repeated(4096, uvu, ","))},
        {"max_row_width", spec(repeated(4096, "65536x8e", "+"), "0e", "0e", uvu)},
        {"max_name_bytes", spec("0e", "0e", "0e", uvu, ",\"name\":\"" + std::string(1'000'000, 'a') + "\"")},
    };
    for (const Row& row : rows) {
        std::string error;
        const double ms = milliseconds([&] { error = error_of([&] { parse_problem(row.text); }); });
        CAPTURE(row.limit);
        CAPTURE(error);
        CHECK(error.starts_with("limit: "));
        CHECK(contains(error, row.limit));
        CHECK(error.size() < 1000);
        CHECK(ms < allowed_ms + parse_milliseconds(row.text));
    }
}

TEST_CASE("limits: hostile text that breaks a rule is refused quickly") {
    const std::string texts[] = {
        "{\"" + std::string(1'000'000, 'k') + "\":1}",  // an unknown key is compared with the known ones
        spec("0e", "0e", "0e", "[0,0,0,\"" + std::string(1'000'000, 'u') + "\",true]"),  // a mode as well
        "{\"irreps_in1\":\"" + std::string(1'000'000, 'x'),  // an unfinished string is quoted in the message
        "{\"name\":1e" + std::string(1'000'000, '9') + "}",
        spec("0e", "0e", "0e", "[0,0," + std::string(1'000'000, '9') + ",\"uvu\",true]"),
        spec("0e", "0e", "0e", "[" + repeated(60'000, "0", ",") + "]"),
    };
    for (const std::string& text : texts) {
        std::string error;
        const double ms = milliseconds([&] { error = error_of([&] { parse_problem(text); }); });
        CAPTURE(error);
        CHECK(error != "(no error)");
        CHECK(error.size() < 1000);
        CHECK(ms < allowed_ms + parse_milliseconds(text));
    }
}

TEST_CASE("limits: a problem built in code is bounded without overflow") {
    Problem problem;
    problem.irreps_in1 = problem.irreps_in2 = problem.irreps_out = Irreps(std::vector{MulIrrep{65'536, {8, 1}}});
    problem.instructions.assign(4096, Instruction{0, 0, 0, ConnectionMode::uvw});
    CHECK(weight_numel(problem) == std::int64_t{4096} * 65'536 * 65'536 * 65'536);
    CHECK(contains(error_of([&] { validate(problem); }), "max_work"));
    problem.irreps_in1 = Irreps(std::vector{MulIrrep{std::numeric_limits<std::int64_t>::max(), {0, 1}}});
    CHECK(weight_numel(problem) == std::numeric_limits<std::int64_t>::max());
    CHECK(contains(error_of([&] { validate(problem); }), "max_multiplicity"));
}

TEST_CASE("limits: files") {
    const fs::path folder = fs::path(FLASHTP_BINARY_DIR) / "test_limits";
    fs::create_directories(folder);
    const std::string large = (folder / "large.json").string();
    std::ofstream(large) << "{";
    fs::resize_file(large, 100'000'000'000);  // sparse: takes no room
    std::string error;
    CHECK(milliseconds([&] { error = error_of([&] { load_problem(large); }); }) < allowed_ms);
    CHECK(contains(error, "max_json_bytes"));
    CHECK(contains(error, "100000000000"));
    CHECK(contains(error_of([&] { load_problems(large); }), "max_json_bytes"));
    // A stream has no size to check beforehand.
    if (fs::exists("/dev/zero")) CHECK(contains(error_of([&] { load_problem("/dev/zero"); }), "max_json_bytes"));

    const std::string layer = "{\"tp\":[\"0e\",\"0e\",\"0e\",[]]}";
    const std::string layers = (folder / "layers.json").string();
    std::ofstream(layers) << repeated(limits::max_layers.value, layer, "\n");
    CHECK(load_problems(layers).size() == 1024);
    std::ofstream(layers) << repeated(limits::max_layers.value + 1, layer, "\n");
    CHECK(contains(error_of([&] { load_problems(layers); }), "max_layers"));
    fs::remove_all(folder);
}

TEST_CASE("limits: docs/limits.md is this table") {
    const std::string path = std::string(FLASHTP_SOURCE_DIR) + "/docs/limits.md";
    CHECK(kept_text(path, documentation()) == documentation());
}
