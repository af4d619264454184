// Kernels of one problem that holds every triple of degrees, for each mode, weighting, row map, element type and order.
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "tests/support/complaints.hpp"
#include "tests/support/cpu_kernel.hpp"
#include "tests/support/mode_problem.hpp"
#include "tests/support/run_kernel.hpp"

using namespace flashtp;
using namespace flashtp::test;

namespace {

struct Cell {
    ModeProblem problem;
    int order = 0;
};

std::vector<Cell> all_cells(int max_l) {
    std::vector<Cell> cells;
    for (ModeProblem problem : all_mode_problems(max_l)) {
        for (const DType dtype : {DType::float32, DType::float64}) {
            problem.dtype = dtype;
            for (int order = 0; order <= 2; ++order) cells.push_back({problem, order});
        }
    }
    return cells;
}

Experiment experiment_of(const Cell& cell) {
    const GraphOptions graph{.edges = 5, .senders = 3, .receivers = 4, .sorted = cell.order == 1};
    return Experiment(mode_problem(cell.problem), Request{cell.order, {}, {}}, graph, 7);
}

/// Every way to copy with the schedule that is chosen, and the general one.
std::string complaint_interpreted(const Cell& cell) {
    const Experiment experiment = experiment_of(cell);
    KernelRun run{.options = {}, .rows_per_warp = 3, .threads = 1};
    for (const Target& target : cuda_targets()) {
        const std::string text = complaint_interpreted(experiment, target, run);
        if (!text.empty()) return text;
    }
    run.options.general = true;
    return complaint_interpreted(experiment, cuda_targets().front(), run);
}

/// One thread, then several: the code is compiled once.
std::string complaint_on_cpu(Engine& engine, const Cell& cell) {
    const Experiment experiment = experiment_of(cell);
    for (const int threads : {1, 3}) {
        const std::string text = complaint_on_cpu(engine, experiment, {.options = {}, .rows_per_warp = 0, .threads = threads});
        if (!text.empty()) return text;
    }
    return {};
}

void check_interpreted(const std::vector<Cell>& cells) {
    const auto check = [&](std::int64_t n) { return complaint_interpreted(cells[static_cast<std::size_t>(n)]); };
    for (const std::string& text : complaints(std::ssize(cells), check)) FAIL_CHECK(text);
}

void check_on_cpu(const std::vector<Cell>& cells) {
    if (!have_llvm_backend()) return;
    Engine engine(memory_only());
    const auto check = [&](std::int64_t n) { return complaint_on_cpu(engine, cells[static_cast<std::size_t>(n)]); };
    for (const std::string& text : complaints(std::ssize(cells), check)) FAIL_CHECK(text);
}

/// Every n-th cell, for builds and runs that have little time; `n` shares no factor with the lengths of the inner loops.
std::vector<Cell> every(std::size_t n, const std::vector<Cell>& cells) {
    std::vector<Cell> chosen;
    for (std::size_t i = 0; i < cells.size(); i += n) chosen.push_back(cells[i]);
    return chosen;
}

}  // namespace

TEST_CASE("samples of every triple up to degree 1, interpreted") { check_interpreted(every(5, all_cells(1))); }
TEST_CASE("samples of every triple up to degree 1 on the CPU") { check_on_cpu(every(7, all_cells(1))); }

TEST_SUITE("slow kernels") {
    TEST_CASE("every triple up to degree 3, interpreted") { check_interpreted(all_cells(3)); }
    TEST_CASE("every triple up to degree 3 on the CPU") { check_on_cpu(all_cells(3)); }
}
