#include "tests/fuzz/targets.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <string>

#include "flashtp/flashtp.h"
#include "ir/error.hpp"
#include "ir/irreps.hpp"
#include "ir/problem.hpp"
#include "ir/problem_json.hpp"
#include "ir/schedule.hpp"
#include "runtime/cache/binary.hpp"
#include "runtime/cache/entry.hpp"
#include "runtime/cache/pack.hpp"
#include "runtime/options.hpp"
#include "runtime/program_record.hpp"
#include "runtime/tuned.hpp"

namespace flashtp::test {
namespace {

/// Ends the program where the driver and libFuzzer notice it.
void require(bool condition, const char* what) {
    if (condition) return;
    std::fprintf(stderr, "%s\n", what);
    std::abort();
}

template <class Body>
void accept_or_refuse(Body body) {
    try {
        body();
    } catch (const UserError&) {
    }
}

std::string string_of(FuzzInput input) { return std::string(text_of(input)); }

void irreps(FuzzInput input) {
    accept_or_refuse([&] {
        const Irreps parsed = Irreps::parse(string_of(input));
        require(Irreps::parse(to_string(parsed)) == parsed, "irreps do not survive printing");
    });
}

void spec(FuzzInput input) {
    accept_or_refuse([&] {
        const Problem problem = parse_problem_or_layer(string_of(input), "fuzz");
        require(parse_problem(to_json(problem)) == problem, "a problem does not survive printing");
    });
    accept_or_refuse([&] { parse_schedule(string_of(input)); });
}

/// With the sizes and the checksum put right, so that what lies behind them is reached as well.
std::vector<std::uint8_t> with_checksum(FuzzInput input) {
    std::vector<std::uint8_t> bytes(input.begin(), input.end());
    if (bytes.size() < 108) return bytes;
    for (const std::size_t at : {std::size_t{16}, bytes.size() - 48}) {
        for (std::size_t i = 0; i < 8; ++i) bytes[at + i] = static_cast<std::uint8_t>(bytes.size() >> (8 * i));
    }
    const Digest digest = sha256(Bytes(bytes).first(bytes.size() - 40));
    std::ranges::copy(digest, bytes.end() - 40);
    return bytes;
}

void entry(FuzzInput input) {
    accept_or_refuse([&] { parse_entry(input); });
    const auto bytes = with_checksum(input);
    accept_or_refuse([&] {
        const CacheEntry parsed = parse_entry(bytes);
        require(to_bytes(parse_entry(to_bytes(parsed))) == to_bytes(parsed), "an entry does not survive writing");
        if (const auto* record = std::get_if<Record>(&parsed.content)) {
            accept_or_refuse([&] { parse_tuned(record->text); });
            parse_program_record(record->text);
        }
    });
}

void pack(FuzzInput input) {
    accept_or_refuse([&] { parse_pack_index(input, input.size()); });
    // The number of entries follows from the size, and the index has a checksum.
    std::vector<std::uint8_t> bytes(input.begin(), input.end());
    if (bytes.size() < 24 + 48 + 32) return;
    const std::size_t entries = std::max<std::size_t>(1, bytes[12] % ((bytes.size() - 56) / 48 + 1)), index = 24 + 48 * entries;
    if (index + 32 > bytes.size()) return;
    for (std::size_t i = 0; i < 4; ++i) bytes[12 + i] = static_cast<std::uint8_t>(entries >> (8 * i));
    for (std::size_t i = 0; i < 8; ++i) bytes[16 + i] = static_cast<std::uint8_t>(bytes.size() >> (8 * i));
    std::ranges::copy(sha256(Bytes(bytes).first(index)), bytes.begin() + static_cast<std::ptrdiff_t>(index));
    accept_or_refuse([&] {
        for (const PackIndexEntry& e : parse_pack_index(bytes, bytes.size())) {
            require(e.offset + e.length <= bytes.size(), "an entry of a pack reaches beyond it");
        }
    });
}

void key(FuzzInput input) {
    accept_or_refuse([&] {
        const std::string text = string_of(input);
        Key again;
        for (const KeyField& field : key_fields(text)) again.add(field.tag, field.value);
        require(again.text() == text, "a key's fields do not give its text");
    });
}

/// The first byte picks the variable, the rest is its value.
void environment_value(FuzzInput input) {
    if (input.empty()) return;
    const EnvironmentVariable& variable = environment::all[input[0] % std::size(environment::all)];
    const std::string name(variable.name), value = string_of(input.subspan(1));
    ::setenv(name.c_str(), value.c_str(), 1);
    accept_or_refuse([&] { store_options({}); });
    accept_or_refuse([&] { default_threads(); });
    accept_or_refuse([&] { flag_of(variable); });
    accept_or_refuse([&] { parse_cache_path(value); });
    ::unsetenv(name.c_str());
}

/// A few objects, and calls on them as the input says.
class ApiCalls {
  public:
    explicit ApiCalls(FuzzInput input) : rest_(input) {}
    ~ApiCalls() {
        flashtp_program_destroy(program_);
        flashtp_engine_destroy(engine_);
    }
    ApiCalls(const ApiCalls&) = delete;
    ApiCalls& operator=(const ApiCalls&) = delete;

    void run() {
        for (int calls = 0; calls < 64 && !rest_.empty(); ++calls) {
            const flashtp_status status = call(next() % 9);
            require(status >= FLASHTP_OK && status <= FLASHTP_CONTEXT_LOST, "a status that no header has");
            require(status != FLASHTP_INTERNAL_ERROR, flashtp_last_message());
            require(status == FLASHTP_OK || *flashtp_last_message(), "a failure without a message");
        }
    }

  private:
    std::uint8_t next() {
        if (rest_.empty()) return 0;
        const std::uint8_t byte = rest_.front();
        rest_ = rest_.subspan(1);
        return byte;
    }
    /// Small numbers of both signs, and now and then a large one.
    std::int64_t number() {
        const auto byte = static_cast<std::int8_t>(next());
        return byte == 100 ? INT64_MAX : byte == -100 ? INT64_MIN : byte;
    }
    /// Wrong ones are too small or absurd: what is said to be there is there.
    std::size_t size_of_struct(std::size_t right) {
        const auto size = static_cast<std::size_t>(number());
        return next() % 4 || (size > right && size < right + 8192) ? right : size;
    }

    flashtp_status call(int function) {
        switch (function) {
        case 0: return create();
        case 1: return compile();
        case 2: return flashtp_program_operand_count(program_, next() % 8 ? &count_ : nullptr);
        case 3: return operand();
        case 4: return kernel();
        case 5: return explain();
        case 6: return counts();
        case 7: return run_cpu();
        default: return index();
        }
    }
    flashtp_status create() {
        flashtp_engine_destroy(engine_);
        engine_ = nullptr;
        flashtp_engine_options options{};
        options.size = size_of_struct(sizeof options);
        options.cache_directory = next() % 4 ? "" : "relative";
        options.threads = static_cast<std::int32_t>(number());
        options.require_cached = next() % 4 - 1;
        return flashtp_engine_create(&options, &engine_);
    }
    flashtp_status compile() {
        static const char* const problems[] = {
            R"({"irreps_in1": "2x1o", "irreps_in2": "1o", "irreps_out": "2x0e", "instructions": [[0, 0, 0, "uvu", true]]})",
            R"({"irreps_in1": "1o", "irreps_in2": "1o", "irreps_out": "1o", "instructions": [[0, 0, 0, "uvu", true]]})", "{", ""};
        flashtp_request request{};
        request.size = size_of_struct(sizeof request);
        request.problem = next() % 8 ? problems[next() % 4] : nullptr;
        request.order = next() % 3 ? 0 : static_cast<std::int32_t>(number());
        request.outputs = next() % 4 ? nullptr : "z,,q";
        request.target = next() % 8 ? nullptr : "sm_1";
        flashtp_program_destroy(program_);
        program_ = nullptr;
        return flashtp_compile(engine_, &request, next() % 16 ? &program_ : nullptr);
    }
    flashtp_status operand() {
        flashtp_operand operand{};
        operand.size = size_of_struct(sizeof operand);
        return flashtp_program_operand(program_, static_cast<std::int32_t>(number()), &operand);
    }
    flashtp_status kernel() {
        flashtp_kernel kernel{};
        kernel.size = size_of_struct(sizeof kernel);
        return flashtp_program_kernel(program_, static_cast<std::int32_t>(number()), &kernel);
    }
    flashtp_status explain() {
        const char* text = nullptr;
        return flashtp_program_explain(program_, static_cast<std::int32_t>(number()), &text);
    }
    flashtp_status counts() {
        flashtp_cache_counts counts{};
        counts.size = size_of_struct(sizeof counts);
        return flashtp_engine_cache_counts(engine_, &counts);
    }
    /// Counts and pointers may be wrong, but what is said to be there is there.
    flashtp_status run_cpu() {
        alignas(16) static float memory[4096];
        static const std::int32_t rows[] = {0, 1, 2, 2, 2}, senders[] = {0, 1, 0, 0};
        void* operands[8] = {};
        for (void*& pointer : operands) pointer = next() % 8 ? static_cast<void*>(memory + 16 * (next() % 8)) : nullptr;
        flashtp_graph graph{};
        graph.size = size_of_struct(sizeof graph);
        graph.edges = next() % 4 ? 2 : std::min<std::int64_t>(number(), 0);
        graph.senders = 2;
        graph.receivers = next() % 4 ? 2 : std::min<std::int64_t>(number(), 0);
        graph.row_ptr = next() % 8 ? rows : nullptr;
        graph.sender = next() % 8 ? senders : nullptr;
        const std::int32_t threads = next() % 4 ? 1 : std::min<std::int32_t>(static_cast<std::int32_t>(number()), 4);
        return flashtp_run_cpu(program_, operands,
                               next() % 4 ? 4 : static_cast<std::int32_t>(std::min<std::int64_t>(number(), 8)), &graph, threads);
    }
    flashtp_status index() {
        static const std::int32_t ends[] = {0, 1, 1, 7};
        std::int32_t row_ptr[8], sender[4], edge[4];
        flashtp_edges edges{};
        edges.size = size_of_struct(sizeof edges);
        edges.edges = std::min<std::int64_t>(number(), 4);
        edges.senders = number();
        edges.receivers = std::min<std::int64_t>(number(), 7);
        edges.sender = next() % 8 ? ends : nullptr;
        edges.receiver = next() % 8 ? ends : nullptr;
        edges.index_bits = next() % 8 ? 32 : static_cast<std::int32_t>(number());
        if (edges.index_bits == 64) edges.edges = std::min<std::int64_t>(edges.edges, 2);
        return flashtp_build_receiver_index(&edges, row_ptr, sender, edge, nullptr);
    }

    FuzzInput rest_;
    flashtp_engine* engine_ = nullptr;
    flashtp_program* program_ = nullptr;
    std::int32_t count_ = 0;
};

void c_api(FuzzInput input) { ApiCalls(input).run(); }

}  // namespace

const std::vector<FuzzTarget>& fuzz_targets() {
    static const std::vector<FuzzTarget> targets = {{"irreps", irreps}, {"spec", spec}, {"entry", entry},
                                                    {"pack", pack},     {"key", key},   {"environment", environment_value},
                                                    {"c_api", c_api}};
    return targets;
}

}  // namespace flashtp::test
