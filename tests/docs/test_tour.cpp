// docs/tour.md is printed from tour.template.md: prose stays as it is, and each line `@show LEVEL ...` becomes what the compiler
// says of docs/tour.json at that level.
#include <iomanip>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include "codegen/emit_c.hpp"
#include "codegen/emit_llvm.hpp"
#include "compiler/pipeline.hpp"
#include "runtime/problem_file.hpp"
#include "tests/support/file_text.hpp"

using namespace flashtp;
using flashtp::test::kept_text;
using flashtp::test::read_text;

namespace {

const std::string docs = FLASHTP_SOURCE_DIR "/docs/", spec = docs + "tour.json";
constexpr const char* bless = "FLASHTP_BLESS=1 build/release/bin/flashtp-tests --test-case='docs: the tour*'";

std::vector<std::string> lines_of(const std::string& text) {
    std::vector<std::string> lines;
    std::istringstream stream(text);
    for (std::string line; std::getline(stream, line);) lines.push_back(line);
    return lines;
}

/// `@show LEVEL [order N] [target NAME] [from "TEXT"] [to "TEXT"]`: the lines from the first that holds one text up to the next
/// that holds the other.
struct Show {
    std::string level, target, from, to;
    int order = 0;
};

Show parse_show(const std::string& line) {
    Show show;
    std::istringstream words(line);
    std::string word;
    words >> word >> show.level;
    while (words >> word) {
        if (word == "order")
            words >> show.order;
        else if (word == "target")
            words >> show.target;
        else if (word == "from")
            words >> std::quoted(show.from);
        else if (word == "to")
            words >> std::quoted(show.to);
        else
            throw std::runtime_error("the template has an unknown word: " + line);
    }
    return show;
}

Target target_of(const Show& show) {
    if (show.target.starts_with("sm_")) return cuda_target(show.target);
    return cpu_target(show.target.empty() ? "cpu:x86-64-v3" : show.target);
}

Request request_of(int order) {
    Request request;
    request.order = order;
    return request;
}

Lowered lower_tour(int order, const Target& target) {
    return lower(load_problem(spec), request_of(order), target, {});
}

std::string text_of(const Show& show) {
    if (show.level == "spec") return read_text(spec);
    const Lowered lowered = lower_tour(show.order, target_of(show));
    const Kernel& kernel = lowered.kernels.at(0);
    if (show.level == "paths") return to_string(derivative(lowered.paths, request_of(show.order)));
    if (show.level == "edge") return to_string(lowered.edge);
    if (show.level == "schedule") return to_string(lowered.schedule);
    if (show.level == "kernel") return to_string(kernel);
    if (show.level != "source") throw std::runtime_error("the template asks for an unknown level " + show.level);
    return kernel.target.platform == Platform::cuda ? emit_c(kernel, cuda_dialect()) : emit_llvm(kernel);
}

std::string excerpt_of(const Show& show) {
    std::string text;
    bool inside = show.from.empty(), found = inside;
    for (const std::string& line : lines_of(text_of(show))) {
        if (inside && !show.to.empty() && line.find(show.to) != line.npos) return text;
        if (!found && line.find(show.from) != line.npos) inside = found = true;
        if (inside) text += line + "\n";
    }
    if (!found || !show.to.empty())
        throw std::runtime_error(fmt::format("no \"{}\" to \"{}\" in {}", show.from, show.to, show.level));
    return text;
}

/// The command that prints the same; a schedule it prints as JSON.
std::string command_of(const Show& show) {
    if (show.level == "spec" || show.level == "schedule") return "";
    return fmt::format("`flashtp-compile emit docs/tour.json --level {}{}{}`{}\n\n", show.level,
                       show.order ? fmt::format(" --order {}", show.order) : "",
                       show.target.empty() ? "" : " --target " + show.target,
                       show.from.empty() && show.to.empty() ? "" : ", in part");
}

std::string language_of(const Show& show) {
    if (show.level == "spec") return "json";
    if (show.level != "source") return "text";
    return show.target.starts_with("sm_") ? "cuda" : "llvm";
}

/// `@counts`: what an edge costs at every order.
std::string counts() {
    std::string table = "| order | statements | multiply-adds an edge | sums over lanes an edge |\n|---:|---:|---:|---:|\n";
    for (int order = 0; order <= 3; ++order) {
        const EdgeProgram edge = lower_tour(order, cpu_target("cpu:x86-64-v3")).edge;
        const OperationCount count = count_operations(edge);
        table +=
            fmt::format("| {} | {} | {} | {} |\n", order, edge.statements.size(), count.channel + count.once, count.lane_sums);
    }
    return table;
}

std::string tour() {
    std::string text;
    for (const std::string& line : lines_of(read_text(FLASHTP_SOURCE_DIR "/tests/docs/tour.template.md"))) {
        if (line == "@counts")
            text += counts();
        else if (line.starts_with("@show ")) {
            const Show show = parse_show(line);
            text += fmt::format("{}```{}\n{}```\n", command_of(show), language_of(show), excerpt_of(show));
        } else
            text += line + "\n";
    }
    return text;
}

std::string first_difference(const std::string& page, const std::string& now) {
    const std::vector<std::string> a = lines_of(page), b = lines_of(now);
    std::size_t n = 0;
    while (n < a.size() && n < b.size() && a[n] == b[n]) ++n;
    const auto at = [n](const std::vector<std::string>& lines) { return n < lines.size() ? lines[n] : "(end)"; };
    return fmt::format("docs/tour.md, line {}:\n  page:     {}\n  compiler: {}\nIf the change is meant: {}", n + 1, at(a), at(b),
                       bless);
}

}  // namespace

TEST_CASE("docs: the tour shows what the compiler prints") {
    const std::string now = tour();
    const std::string page = kept_text(docs + "tour.md", now);
    if (page != now) FAIL(first_difference(page, now));
}
