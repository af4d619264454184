// Random problems, requests, graphs, targets and schedules: kernels against the oracle.
#include <memory>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include "tests/exhaustive/random_case.hpp"
#include "tests/support/complaints.hpp"
#include "tests/support/cpu_kernel.hpp"

using namespace flashtp;
using namespace flashtp::test;

namespace {

constexpr std::uint64_t first_seed = 20'000;

std::string with_seed(std::uint64_t seed, const std::string& text) {
    return text.empty() ? text : fmt::format("seed {}: {}", seed, text);
}

std::string complaint_of(std::uint64_t seed, Engine* cpu) {
    const RandomCase c = random_case(seed);
    const Experiment experiment(c.problem, c.request, c.graph, seed);
    if (cpu) return with_seed(seed, complaint_on_cpu(*cpu, experiment, c.run));
    return with_seed(seed, complaint_interpreted(experiment, c.target, c.run));
}

/// On the CPU where there is an engine, else in the interpreter.
void check_random_cases(std::int64_t count, Engine* cpu) {
    MESSAGE(count << " random cases from seed " << first_seed);
    const auto check = [cpu](std::int64_t n) {
        const std::uint64_t seed = first_seed + static_cast<std::uint64_t>(n);
        try {
            return complaint_of(seed, cpu);
        } catch (const std::exception& error) {
            return with_seed(seed, error.what());
        }
    };
    for (const std::string& text : complaints(count, check)) FAIL_CHECK(text);
}

}  // namespace

TEST_CASE("random kernels, interpreted") { check_random_cases(200, nullptr); }

TEST_CASE("random kernels on the CPU") {
    if (!have_llvm_backend()) return;
    Engine engine(memory_only());
    check_random_cases(40, &engine);
}

TEST_SUITE("slow kernels") {
    TEST_CASE("ten thousand random kernels, interpreted") { check_random_cases(10'000, nullptr); }

    TEST_CASE("two thousand random kernels on the CPU") {
        if (!have_llvm_backend()) return;
        Engine engine(memory_only());
        check_random_cases(2000, &engine);
    }
}

TEST_SUITE("nightly kernels") {
    TEST_CASE("a hundred thousand random kernels, interpreted") { check_random_cases(100'000, nullptr); }
}
