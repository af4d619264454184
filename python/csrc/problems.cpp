#include "problems.hpp"

#include <charconv>
#include <deque>
#include <mutex>
#include <shared_mutex>
#include <stdexcept>
#include <unordered_map>

namespace flashtp::torch_operators {
namespace {

struct Problems {
    std::shared_mutex mutex;
    std::deque<std::string> texts;  ///< by number; a deque, so that they stay where they are
    std::unordered_map<std::string_view, std::int64_t> numbers;
};

/// Never destroyed: autograd threads may outlive static objects.
Problems& problems() {
    static auto* const all = new Problems;
    return *all;
}

std::int64_t named_number(std::string_view name) {
    std::int64_t number = -1;
    const auto [end, error] = std::from_chars(name.data() + 1, name.data() + name.size(), number);
    if (error != std::errc() || end != name.data() + name.size())
        throw std::invalid_argument("flashtp: no problem has the name " + std::string(name));
    return number;
}

std::string key_text(const std::string& key, ScalarType type) {
    const char* const name = type == ScalarType::Double     ? "float64"
                             : type == ScalarType::BFloat16 ? "bfloat16"
                             : type == ScalarType::Half     ? "float16"
                                                            : "float32";
    return '"' + key + "\":\"" + name + "\",";
}

}  // namespace

std::int64_t problem_number(std::string_view text) {
    if (text.starts_with('@')) return named_number(text);
    Problems& all = problems();
    {
        const std::shared_lock lock(all.mutex);
        if (const auto found = all.numbers.find(text); found != all.numbers.end()) return found->second;
    }
    const std::unique_lock lock(all.mutex);
    if (const auto found = all.numbers.find(text); found != all.numbers.end()) return found->second;
    const std::string& kept = all.texts.emplace_back(text);
    return all.numbers.emplace(kept, static_cast<std::int64_t>(all.texts.size()) - 1).first->second;
}

const std::string& problem_text(std::int64_t number) {
    Problems& all = problems();
    const std::shared_lock lock(all.mutex);
    if (number < 0 || number >= static_cast<std::int64_t>(all.texts.size()))
        throw std::invalid_argument("flashtp: no problem has the number " + std::to_string(number));
    return all.texts[static_cast<std::size_t>(number)];
}

std::string with_types(const std::string& problem, const Types& types) {
    const std::size_t brace = problem.find('{');
    if (brace == std::string::npos) return problem;
    std::string keys = key_text("dtype", types.x);
    if (types.y != types.x) keys += key_text("dtype_in2", types.y);
    if (types.w != types.x) keys += key_text("dtype_weights", types.w);
    return problem.substr(0, brace + 1) + keys + problem.substr(brace + 1);
}

}  // namespace flashtp::torch_operators
