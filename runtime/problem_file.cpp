#include "runtime/problem_file.hpp"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>

#include "ir/error.hpp"
#include "ir/limits.hpp"
#include "ir/problem_json.hpp"
#include "ir/strict_json.hpp"

namespace flashtp {
namespace {

namespace fs = std::filesystem;

/// FILE:N taken apart; line 0 is "no line given".
struct SpecName {
    std::string path;
    std::int64_t line = 0;
};

/// A file whose name ends in a colon and digits is still found by its own name.
SpecName split_spec_name(const std::string& spec) {
    const std::size_t colon = spec.rfind(':');
    std::error_code ignored;
    if (colon == std::string::npos || colon + 1 == spec.size() || fs::exists(spec, ignored)) return {spec, 0};
    const std::string_view digits = std::string_view(spec).substr(colon + 1);
    if (digits.find_first_not_of("0123456789") != std::string_view::npos) return {spec, 0};
    std::int64_t line = 0;
    const auto end = std::from_chars(digits.data(), digits.data() + digits.size(), line);
    if (end.ec != std::errc() || line == 0) user_error("{}: lines are numbered from 1", spec);
    return {spec.substr(0, colon), line};
}

/// Refuses large files before reading them, and large streams while reading.
std::string read_text(const std::string& path) {
    std::error_code error;
    if (fs::is_directory(path, error)) user_error("{}: is a directory, not a specification file", path);
    const std::uintmax_t size = fs::is_regular_file(path, error) ? fs::file_size(path, error) : 0;
    if (!error) check_limit(limits::max_json_bytes, path, static_cast<std::int64_t>(size));
    std::ifstream file(path, std::ios::binary);
    if (!file) user_error("{}: cannot be read", path);
    std::string text(static_cast<std::size_t>(limits::max_json_bytes.value) + 1, '\0');
    file.read(text.data(), static_cast<std::streamsize>(text.size()));
    if (file.bad()) user_error("{}: cannot be read", path);
    text.resize(static_cast<std::size_t>(file.gcount()));
    check_limit(limits::max_json_bytes, path, static_cast<std::int64_t>(text.size()));
    return text;
}

std::string_view trim(std::string_view text) {
    const std::size_t first = text.find_first_not_of(" \t\r\n");
    if (first == std::string_view::npos) return {};
    return text.substr(first, text.find_last_not_of(" \t\r\n") + 1 - first);
}

std::vector<std::string_view> lines_of(std::string_view text) {
    std::vector<std::string_view> lines;
    for (std::size_t start = 0; start < text.size();) {
        const std::size_t end = std::min(text.find('\n', start), text.size());
        lines.push_back(trim(text.substr(start, end - start)));
        start = end + 1;
    }
    return lines;
}

/// One layer a line, as opposed to one object over all lines: more than one line has text and the first is a whole object.
bool has_a_layer_a_line(const std::vector<std::string_view>& lines) {
    const auto has_text = [](std::string_view line) { return !line.empty(); };
    const auto first = std::find_if(lines.begin(), lines.end(), has_text);
    return std::count_if(lines.begin(), lines.end(), has_text) > 1 && first->front() == '{' && first->back() == '}';
}

/// The file's stem, with characters that a name may not have replaced.
std::string default_name(const std::string& path) {
    constexpr std::size_t longest = 150;
    std::string stem = fs::path(path).stem().string().substr(0, longest);
    for (char& c : stem) {
        const bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!plain && std::string_view("_-.+=").find(c) == std::string_view::npos) c = '_';
    }
    return stem;
}

Problem parse_line(const std::string& path, const std::vector<std::string_view>& lines, std::int64_t number) {
    if (number > static_cast<std::int64_t>(lines.size())) user_error("{}:{}: the file has {} lines", path, number, lines.size());
    const std::string_view line = lines[static_cast<std::size_t>(number - 1)];
    if (line.empty()) user_error("{}:{}: the line is blank", path, number);
    return with_context(fmt::format("{}:{}", path, number),
                        [&] { return parse_problem_or_layer(line, fmt::format("{}:{}", default_name(path), number)); });
}

Problem parse_whole(const std::string& path, std::string_view text) {
    return with_context(path, [&] { return parse_problem_or_layer(text, default_name(path)); });
}

}  // namespace

Problem load_problem(const std::string& spec) {
    const SpecName name = split_spec_name(spec);
    const std::string text = read_text(name.path);
    const std::vector<std::string_view> lines = lines_of(text);
    if (has_a_layer_a_line(lines)) {
        if (name.line > 0) return parse_line(name.path, lines, name.line);
        user_error("{0}: has a layer a line; name one of its {1} lines, as in {0}:{1}", name.path, lines.size());
    }
    if (name.line > 1) user_error("{}: holds one layer; leave out the line number {}", name.path, name.line);
    return parse_whole(name.path, text);
}

std::vector<Problem> load_problems(const std::string& path) {
    const SpecName name = split_spec_name(path);
    if (name.line > 0) return {load_problem(path)};
    const std::string text = read_text(path);
    const std::vector<std::string_view> lines = lines_of(text);
    if (!has_a_layer_a_line(lines)) return {parse_whole(path, text)};
    std::vector<Problem> problems;
    for (std::size_t n = 0; n < lines.size(); ++n) {
        if (lines[n].empty()) continue;
        check_limit(limits::max_layers, path, static_cast<std::int64_t>(problems.size() + 1));
        problems.push_back(parse_line(path, lines, static_cast<std::int64_t>(n + 1)));
    }
    return problems;
}

}  // namespace flashtp
