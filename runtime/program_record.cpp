#include "runtime/program_record.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "ir/error.hpp"
#include "runtime/code_identity.hpp"
#include "runtime/tuned.hpp"

namespace flashtp {
namespace {

constexpr std::string_view plan_tag = "plan", kernel_tag = "kernel";

}  // namespace

std::string to_text(const ProgramRecord& record) {
    Key fields;
    fields.add(plan_tag, to_json(record.plan));
    for (const std::string& kernel : record.kernels) fields.add(kernel_tag, kernel);
    return fields.text();
}

ProgramRecord parse_program_record(std::string_view text) {
    const std::vector<KeyField> fields = key_fields(text);
    if (fields.empty() || fields.front().tag != plan_tag) user_error("it has no launch plan");
    ProgramRecord record{parse_launch_plan(fields.front().value), {}};
    for (std::size_t i = 1; i < fields.size(); ++i) {
        if (fields[i].tag != kernel_tag) user_error("it has a {}", fields[i].tag);
        record.kernels.push_back(Key::of_text(fields[i].value).text());
    }
    if (record.kernels.size() != record.plan.kernels.size()) user_error("it has plans and keys of different kernels");
    return record;
}

void add_request(Key& key, const Problem& problem, const Request& request) {
    Problem nameless = problem;
    nameless.name.clear();
    key.add("problem", to_json(nameless));
    key.add("order", fmt::to_string(request.order));
    key.add("outputs", fmt::to_string(fmt::join(request.outputs, ",")));
    key.add("absent", fmt::to_string(fmt::join(request.absent, ",")));
}

Key program_key(const Problem& problem, const Request& request, const Target& target, const LoweringOptions& options,
                std::string_view toolchain) {
    Key key;
    key.add("schema", fmt::to_string(key_schema)).add("library", code_identity());
    add_target(key, target);
    key.add(toolchain_tag, toolchain);
    add_request(key, problem, request);
    key.add("schedule", options.schedule ? to_json(*options.schedule) : "");
    key.add("factoring", options.factoring ? to_string(*options.factoring) : "");
    key.add("knobs", options.knobs ? to_json(*options.knobs) : "");
    return key.add("general", options.general ? "yes" : "no");
}

}  // namespace flashtp
