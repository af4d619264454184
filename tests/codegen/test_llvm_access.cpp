// Every way to reach memory, against the definition of Access: loads and stores of the CPU back end, run on guarded memory.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <functional>

#include "tests/support/cpu_kernel.hpp"

using namespace flashtp;
using namespace flashtp::test;

namespace {

struct Case {
    int components, active;
    std::int64_t lane_stride, component_stride;
    std::vector<std::int32_t> table;  ///< empty: none
    bool table_known = true;          ///< its base is a constant
    std::int64_t offset = 0;

    std::int64_t at(int lane, int k) const {
        return offset + (table.empty() ? lane : table[1 + lane]) * lane_stride + k * component_stride;
    }
    std::size_t size() const {
        std::int64_t last = 0;
        for (int lane = 0; lane < active; ++lane)
            for (int k = 0; k < components; ++k) last = std::max(last, at(lane, k));
        return static_cast<std::size_t>(last + 1);
    }
    std::string text(int lanes) const {
        return fmt::format("{} lanes, {} active, {} components, lane stride {}, component stride {}, {} table entries", lanes,
                           active, components, lane_stride, component_stride, table.size());
    }
};

Access access_of(const Case& c, CpuKernelBuilder& builder, BufferId buffer, IntId two) {
    // The base is written with a variable, and is `offset`.
    Access access = global(buffer, Affine::of(two, 3) + Affine(c.offset - 6), c.lane_stride, c.component_stride, c.active);
    if (c.table.empty()) return access;
    access.table = builder.table("table", c.table);
    access.table_base = c.table_known ? Affine(1) : Affine::of(two) + Affine(-1);
    return access;
}

using Body = std::function<void(CpuKernelBuilder&, const Case&, Access, int lanes, Block&)>;

/// One task a case; launching rows [i, i + 1) runs the case i alone.
Kernel kernel_of(const std::vector<Case>& cases, DType dtype, int lanes, bool load, StoreMode mode) {
    CpuKernelBuilder b(dtype, lanes);
    const BufferId x = b.operand("x"), o = b.operand("o");
    for (std::size_t i = 0; i < cases.size(); ++i) {
        const Case& c = cases[i];
        KernelTask& task = b.task();
        const auto id = static_cast<std::int64_t>(i);
        const IntId two = b.integer("two");
        const std::vector<RegId> values = b.regs(c.components);
        const Access strided = access_of(c, b, load ? x : o, two), plain = global(load ? o : x, 0, 1, lanes, lanes);
        If last{Affine::of(int_row_begin), id + 1, {}}, first{id - 1, Affine::of(int_row_begin), {}};
        first.body.push_back({IntLet{two, Affine::of(int_row_begin) + Affine(2 - id)}});
        first.body.push_back({Load{values, load ? strided : plain}});
        first.body.push_back({Store{load ? plain : strided, values, mode}});
        last.body.push_back({first});
        task.body.push_back({last});
    }
    return b.kernel;
}

template <class T>
void check_loads(const std::vector<Case>& cases, DType dtype, int lanes) {
    const CompiledKernel kernel(kernel_of(cases, dtype, lanes, true, StoreMode::store));
    for (std::size_t i = 0; i < cases.size(); ++i) {
        const Case& c = cases[i];
        const GuardedArray<T> x(whole_numbers<T>(c.size())),
            o(std::vector<T>(static_cast<std::size_t>(c.components * lanes), 99));
        kernel.run({x.data(), o.data()}, static_cast<std::int64_t>(i), static_cast<std::int64_t>(i) + 1);
        std::vector<T> expected(static_cast<std::size_t>(c.components * lanes), 0);
        for (int k = 0; k < c.components; ++k)
            for (int lane = 0; lane < c.active; ++lane)
                expected[static_cast<std::size_t>(k * lanes + lane)] = x.data()[c.at(lane, k)];
        CHECK_MESSAGE(o.values() == expected, c.text(lanes));
    }
}

template <class T>
void check_stores(const std::vector<Case>& cases, DType dtype, int lanes, StoreMode mode) {
    const CompiledKernel kernel(kernel_of(cases, dtype, lanes, false, mode));
    for (std::size_t i = 0; i < cases.size(); ++i) {
        const Case& c = cases[i];
        const GuardedArray<T> x(whole_numbers<T>(static_cast<std::size_t>(c.components * lanes))),
            o(whole_numbers<T>(c.size(), 1));
        std::vector<T> expected = o.values();
        for (int lane = 0; lane < c.active; ++lane) {
            for (int k = 0; k < c.components; ++k) {
                T& place = expected[static_cast<std::size_t>(c.at(lane, k))];
                const T value = x.data()[k * lanes + lane];
                place = mode == StoreMode::store ? value : place + value;
            }
        }
        kernel.run({x.data(), o.data()}, static_cast<std::int64_t>(i), static_cast<std::int64_t>(i) + 1);
        CHECK_MESSAGE(o.values() == expected, c.text(lanes));
    }
}

/// All sizes of a partial vector for a few widths, a few sizes for the others.
std::vector<int> actives(int lanes, int components) {
    if (components == 3 || components == 5) {
        std::vector<int> all(static_cast<std::size_t>(lanes));
        for (int i = 0; i < lanes; ++i) all[static_cast<std::size_t>(i)] = i + 1;
        return all;
    }
    return {1, lanes - 1, lanes};
}

template <class Add>
void for_widths(int lanes, Add add) {
    for (int d = 1; d <= 17; ++d)
        for (const int active : actives(lanes, d)) add(d, active);
}

std::vector<Case> mul_ir_cases(int lanes) {
    std::vector<Case> cases;
    for_widths(lanes, [&](int d, int active) { cases.push_back({d, active, d, 1, {}, true, d % 3}); });
    return cases;
}

std::vector<Case> ir_mul_cases(int lanes) {
    std::vector<Case> cases;
    for_widths(lanes, [&](int d, int active) { cases.push_back({d, active, 1, 33, {}, true, 0}); });
    return cases;
}

/// Some components of each lane, at the front, in the middle or at the end; lanes near or far apart.
std::vector<Case> subset_cases(int lanes) {
    std::vector<Case> cases;
    for (const int stride : {3, 4, 5, 6, 7, 9, 11, 15, 17, 33, 64, 127})
        for (const int d : {1, 2, 3, 5, 6, 9})
            if (d < stride)
                for (const int active : {1, lanes / 2 + 1, lanes})
                    for (const int from : {0, stride - d}) cases.push_back({d, active, stride, 1, {}, true, from});
    return cases;
}

std::vector<Case> odd_cases(int lanes) {
    std::vector<Case> cases;
    for (const int active : {1, lanes / 2, lanes}) {
        cases.push_back({3, active, 2, 40, {}, true, 0});  // both strided
        cases.push_back({3, active, 100, 7, {}, true, 1});
        cases.push_back({1, active, 2, 1, {}, true, 0});
        cases.push_back({2, active, -2, 1, {}, true, 2 * (lanes - 1)});  // backwards
        cases.push_back({4, active, 0, 1, {}, true, 0});                 // every lane at the same place
    }
    return cases;
}

std::vector<Case> table_cases(int lanes, bool repeated) {
    std::vector<std::int32_t> entries = {-1};
    for (int lane = 0; lane < lanes; ++lane) entries.push_back((lane * 5 + 2) % (repeated ? 3 : lanes));
    if (!repeated) std::ranges::rotate(entries.begin() + 1, entries.begin() + 2, entries.end());
    std::vector<Case> cases;
    for (const bool known : {true, false})
        for (const int d : {1, 2, 3, 4, 5, 7, 8, 9, 17})
            for (const int active : {1, lanes - 1, lanes}) {
                cases.push_back({d, active, d, 1, entries, known, 0});
                cases.push_back({d, active, 1, 40, entries, known, 0});
            }
    return cases;
}

std::vector<Case> all_cases(int lanes, bool may_overlap) {
    std::vector<Case> cases = mul_ir_cases(lanes);
    for (const auto& more : {ir_mul_cases(lanes), subset_cases(lanes), odd_cases(lanes), table_cases(lanes, false)})
        cases.insert(cases.end(), more.begin(), more.end());
    if (may_overlap) {
        const std::vector<Case> more = table_cases(lanes, true);
        cases.insert(cases.end(), more.begin(), more.end());
    }
    return cases;
}

template <class T>
void check_all(DType dtype, int lanes) {
    CAPTURE(lanes);
    check_loads<T>(all_cases(lanes, true), dtype, lanes);
    check_stores<T>(all_cases(lanes, false), dtype, lanes, StoreMode::store);
    check_stores<T>(all_cases(lanes, true), dtype, lanes, StoreMode::add);
}

}  // namespace

TEST_CASE("llvm access: float32 in vectors of the usual width") {
    if (have_llvm_backend()) check_all<float>(DType::float32, 8);
}
TEST_CASE("llvm access: float64 in vectors of the usual width") {
    if (have_llvm_backend()) check_all<double>(DType::float64, 4);
}

TEST_SUITE_BEGIN("slow");

TEST_CASE("llvm access: other widths") {
    if (!have_llvm_backend()) return;
    for (const int lanes : {4, 16}) check_all<float>(DType::float32, lanes);
    for (const int lanes : {2, 8}) check_all<double>(DType::float64, lanes);
}

TEST_SUITE_END();
