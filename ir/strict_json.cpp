#include "ir/strict_json.hpp"

#include <set>
#include <vector>

#include "ir/limits.hpp"
#include "ir/nearest.hpp"

namespace flashtp {
namespace {

using Json = nlohmann::json;

/// Watches the parser's events and stops it at the first one that no specification has.
class Guard {
  public:
    bool operator()(int depth, Json::parse_event_t event, Json& parsed) {
        switch (event) {
        case Json::parse_event_t::object_start: open(depth, false); break;
        case Json::parse_event_t::array_start: open(depth, true); break;
        case Json::parse_event_t::object_end:
        case Json::parse_event_t::array_end: open_.pop_back(); break;
        case Json::parse_event_t::key: add_key(parsed.get_ref<const std::string&>()); break;
        case Json::parse_event_t::value: count_value(false); break;
        }
        return true;
    }

  private:
    struct Container {
        bool is_array = false;
        std::int64_t arrays = 0;
        std::set<std::string> keys;
    };

    void open(int depth, bool is_array) {
        check_limit(limits::max_json_depth, "JSON nesting", depth + 1);
        count_value(is_array);
        open_.push_back({is_array, 0, {}});
    }

    /// The only arrays of arrays are lists of instructions.
    void count_value(bool is_array) {
        check_limit(limits::max_json_values, "JSON values", ++values_);
        if (is_array && !open_.empty() && open_.back().is_array)
            check_limit(limits::max_instructions, "JSON list of lists", ++open_.back().arrays);
    }

    void add_key(const std::string& key) {
        check_limit(limits::max_json_values, "JSON values", ++values_);
        if (!open_.back().keys.insert(key).second) user_error("duplicate key {}", quote(key));
    }

    std::int64_t values_ = 0;
    std::vector<Container> open_;
};

/// The library's message without its "[json.exception...]" tag, cut where it quotes long input.
std::string plain_message(const Json::exception& error) {
    constexpr std::size_t longest = 240;
    std::string_view message = error.what();
    const std::size_t tag = message.find("] ");
    if (tag != std::string_view::npos) message.remove_prefix(tag + 2);
    return std::string(message.substr(0, longest)) + (message.size() > longest ? "..." : "");
}

/// Python writes NaN and Infinity; say so rather than "invalid literal".
std::string not_a_number_hint(std::string_view text, const Json::parse_error& error) {
    const bool inside = error.byte >= 1 && error.byte <= text.size();
    const char at = inside ? text[error.byte - 1] : ' ';
    return at == 'N' || at == 'I' ? " (JSON has no NaN or Infinity)" : "";
}

}  // namespace

Json parse_strict_json(std::string_view text) {
    check_limit(limits::max_json_bytes, "JSON text", static_cast<std::int64_t>(text.size()));
    try {
        Guard guard;
        return Json::parse(text.begin(), text.end(), std::ref(guard));
    } catch (const Json::parse_error& error) {
        user_error("not valid JSON: {}{}", plain_message(error), not_a_number_hint(text, error));
    } catch (const Json::exception& error) {
        user_error("not valid JSON: {}", plain_message(error));
    }
}

std::string describe(const Json& value) {
    switch (value.type()) {
    case Json::value_t::object: return "an object";
    case Json::value_t::array: return "an array";
    case Json::value_t::string: return quote(value.get_ref<const std::string&>());
    default: return value.dump();
    }
}

}  // namespace flashtp
