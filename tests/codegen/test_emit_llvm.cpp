// Everything a CPU kernel may hold besides memory access patterns: sums over lanes, arithmetic, integers, loops and branches.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "codegen/emit_llvm.hpp"
#include "ir/error.hpp"
#include "runtime/backend_llvm.hpp"
#include "tests/support/cpu_kernel.hpp"

using namespace flashtp;
using namespace flashtp::test;

namespace {

Load load_plain(const std::vector<RegId>& dst, BufferId buffer, int lanes, Affine base = 0) {
    return {dst, global(buffer, std::move(base), 1, lanes, lanes)};
}
Store store_plain(const std::vector<RegId>& src, BufferId buffer, int lanes, Affine base = 0) {
    return {global(buffer, std::move(base), 1, lanes, lanes), src, StoreMode::store};
}

/// One task a number of summands: sums over lanes by ReduceStore, or by LaneSum and stores of uniform registers.
Kernel sums_kernel(DType dtype, int lanes, int most, bool lane_sum, StoreMode mode) {
    CpuKernelBuilder b(dtype, lanes);
    const BufferId x = b.operand("x"), o = b.operand("o");
    for (int n = 1; n <= most; ++n) {
        KernelTask& task = b.task();
        const std::vector<RegId> values = b.regs(n), sums = b.regs(n, true);
        If last{Affine::of(int_row_begin), n + 1, {}}, first{n - 1, Affine::of(int_row_begin), {}};
        first.body.push_back({load_plain(values, x, lanes)});
        const Access to = global(o, 1, 0, 1, lanes);
        if (lane_sum) {
            first.body.push_back({LaneSum{sums, values}});
            first.body.push_back({Store{to, sums, mode}});
        } else {
            first.body.push_back({ReduceStore{to, values, mode}});
        }
        last.body.push_back({first});
        task.body.push_back({last});
    }
    return b.kernel;
}

template <class T>
void check_sums(DType dtype, int lanes, bool lane_sum, StoreMode mode) {
    constexpr int most = 33;
    CAPTURE(lanes);
    const CompiledKernel kernel(sums_kernel(dtype, lanes, most, lane_sum, mode));
    for (int n = 1; n <= most; ++n) {
        CAPTURE(n);
        const GuardedArray<T> x(whole_numbers<T>(static_cast<std::size_t>(n * lanes))),
            o(whole_numbers<T>(static_cast<std::size_t>(n) + 1, 1));
        std::vector<T> expected = o.values();
        for (int k = 0; k < n; ++k) {
            T& place = expected[static_cast<std::size_t>(k) + 1];
            if (mode == StoreMode::store) place = 0;
            for (int lane = 0; lane < lanes; ++lane) place += x.data()[k * lanes + lane];
        }
        kernel.run({x.data(), o.data()}, n, n + 1);
        CHECK(o.values() == expected);
    }
}

/// Runs a kernel of one input and one output, which holds -1000 before.
std::vector<float> run_float(const Kernel& kernel, const std::vector<float>& x, std::size_t outputs, std::int64_t begin,
                             std::int64_t end) {
    const GuardedArray<float> in(x), out(std::vector<float>(outputs, -1000));
    CompiledKernel(kernel).run({in.data(), out.data()}, begin, end);
    return out.values();
}

}  // namespace

TEST_CASE("llvm: sums over lanes, any number of them") {
    if (!have_llvm_backend()) return;
    for (const bool lane_sum : {false, true}) {
        for (const int lanes : {4, 8, 16}) check_sums<float>(DType::float32, lanes, lane_sum, StoreMode::store);
        for (const int lanes : {2, 4, 8}) check_sums<double>(DType::float64, lanes, lane_sum, StoreMode::add);
    }
    check_sums<float>(DType::float32, 8, false, StoreMode::atomic);
    check_sums<float>(DType::float32, 1, false, StoreMode::add);
}

TEST_CASE("llvm: arithmetic on vectors, uniform registers and numbers") {
    if (!have_llvm_backend()) return;
    CpuKernelBuilder b(DType::float32, 8);
    const BufferId x = b.operand("x"), o = b.operand("o");
    Block& body = b.task().body;
    const RegId v = b.reg(), u = b.reg(true), uu = b.reg(true);
    const std::vector<RegId> r = b.regs(6);
    body.push_back({Comment{"two lines\nof comment"}});
    body.push_back({Load{{v, u}, global(x, 0, 1, 8, 8)}});  // mixed: u is the one element x[8]
    body.push_back({Mul{uu, u, 0.5}});
    body.push_back({Fma{uu, uu, uu, -3.0}});
    body.push_back({Move{r[0], uu}});
    body.push_back({Mul{r[1], v, uu}});
    body.push_back({Fma{r[2], v, u, 1.0}});
    body.push_back({Fma{r[3], -1.0, v, r[1]}});
    body.push_back({Move{r[4], 0.1}});
    body.push_back({Mul{r[5], 0.0, v}});
    body.push_back({store_plain(r, o, 8)});
    body.push_back({Store{global(o, 48, 0, 2, 8), {u, uu}, StoreMode::store}});
    body.push_back({Store{global(o, 48, 0, 2, 8), {uu, u}, StoreMode::add}});
    const std::vector<float> in = {1, 2, 3, 4, 5, 6, 7, 8, 10};
    const std::vector<float> out = run_float(b.kernel, in, 51, 0, 1);
    for (int lane = 0; lane < 8; ++lane) {
        const float value = in[static_cast<std::size_t>(lane)];
        CAPTURE(lane);
        CHECK(out[lane] == 22);
        CHECK(out[8 + lane] == 22 * value);
        CHECK(out[16 + lane] == 10 * value + 1);
        CHECK(out[24 + lane] == 21 * value);
        CHECK(out[32 + lane] == 0.1f);
        CHECK(out[40 + lane] == 0);
    }
    CHECK(out[48] == 32);
    CHECK(out[49] == -1000);
    CHECK(out[50] == 32);
}

TEST_CASE("llvm: a multiply-add rounds once where the processor has one") {
    if (!have_llvm_backend()) return;
    const Target host = host_cpu_target();
    if (std::ranges::find(host.features, "+fma") == host.features.end() && !host.triple.starts_with("aarch64")) return;
    CpuKernelBuilder b(DType::float32, 8);
    const BufferId x = b.operand("x"), o = b.operand("o");
    Block& body = b.task().body;
    const std::vector<RegId> r = b.regs(4);
    body.push_back({load_plain({r[0], r[1], r[2]}, x, 8)});
    body.push_back({Fma{r[3], r[0], r[1], r[2]}});
    body.push_back({store_plain({r[3]}, o, 8)});
    std::vector<float> in(24);
    for (int lane = 0; lane < 8; ++lane) {
        in[lane] = 1 + static_cast<float>(lane + 1) * 0x1p-23f;
        in[8 + lane] = 1 - static_cast<float>(lane + 1) * 0x1p-23f;
        in[16 + lane] = -1;
    }
    const std::vector<float> out = run_float(b.kernel, in, 8, 0, 1);
    for (int lane = 0; lane < 8; ++lane) CHECK(out[lane] == std::fma(in[lane], in[8 + lane], -1.0f));
}

TEST_CASE("llvm: loops carry registers and integers, branches merge them") {
    if (!have_llvm_backend()) return;
    CpuKernelBuilder b(DType::float32, 4);
    const BufferId x = b.operand("x"), o = b.operand("o");
    Block& body = b.task().body;
    const IntId n = b.integer("n"), i = b.integer("i"), j = b.integer("j"), count = b.integer("count"), low = b.integer("low");
    const RegId sum = b.reg(), value = b.reg(), scale = b.reg(true), temporary = b.reg();
    // For each row n: o[n] = scale * sum over i in 0, 2, 4 and j < i of x[count++ + lane], where scale doubles after a row above 2.
    For inner{j, 0, Affine::of(i), 1, {}};
    inner.body.push_back({Load{{value}, global(x, Affine::of(count), 1, 1, 4)}});
    inner.body.push_back({Move{temporary, value}});
    inner.body.push_back({Fma{sum, temporary, scale, sum}});
    inner.body.push_back({IntSet{count, Affine::of(count) + Affine(1)}});
    For middle{i, 0, 5, 2, {{inner}}};
    For outer{n, Affine::of(int_row_begin), Affine::of(int_row_end), 1, {}};
    outer.body.push_back({Move{sum, 0.0}});
    outer.body.push_back({middle});
    outer.body.push_back({Store{global(o, Affine::of(n, 4), 1, 1, 4), {sum}, StoreMode::store}});
    If later{2, Affine::of(n), {}};
    later.body.push_back({Mul{scale, scale, 2.0}});
    later.body.push_back({IntSet{count, Affine::of(count) + Affine(-1)}});
    outer.body.push_back({later});
    body.push_back({Move{scale, 1.0}});
    body.push_back({IntLet{count, 3}});
    body.push_back({outer});
    body.push_back({IntMin{low, Affine::of(count), 1000}});
    body.push_back({Load{{value}, global(x, Affine::of(low), 1, 1, 4)}});
    body.push_back({Store{global(o, Affine::of(int_row_end, 4), 1, 1, 4), {value}, StoreMode::store}});

    const std::vector<float> in = whole_numbers<float>(100);
    std::vector<float> expected(32, -1000);
    float factor = 1;
    std::size_t at = 3;
    for (int row = 1; row < 6; ++row) {
        float sums[4] = {};
        for (int term = 0; term < 6; ++term, ++at)
            for (int lane = 0; lane < 4; ++lane) sums[lane] += factor * in[at + static_cast<std::size_t>(lane)];
        for (int lane = 0; lane < 4; ++lane) expected[static_cast<std::size_t>(4 * row + lane)] = sums[lane];
        if (row > 2) factor *= 2, --at;
    }
    for (std::size_t lane = 0; lane < 4; ++lane) expected[24 + lane] = in[at + lane];
    CHECK(run_float(b.kernel, in, 32, 1, 6) == expected);
    // One row, to which the branch does not apply.
    CHECK(run_float(b.kernel, in, 32, 1, 2)[8] == in[9]);
}

TEST_CASE("llvm: index buffers, null ones, windows and tables") {
    if (!have_llvm_backend()) return;
    CpuKernelBuilder b(DType::float32, 4);
    const BufferId x = b.operand("x"), o = b.operand("o"), index = b.index("index"), table = b.table("table", {40, 0, 8, 4});
    KernelTask& task = b.task();
    task.windows = 1;
    const IntId p = b.integer("p"), loaded = b.integer("loaded"), seen = b.integer("seen"), fixed = b.integer("fixed");
    const std::vector<RegId> r = b.regs(3);
    For loop{p, Affine::of(int_row_begin), Affine::of(int_row_end), 1, {}};
    loop.body.push_back({IntLoad{loaded, index, Affine::of(p), true, true}});
    loop.body.push_back({WindowRead{0, seen, Affine::of(p)}});
    loop.body.push_back({IntLoad{fixed, table, Affine::of(p), false, true}});
    loop.body.push_back({Load{{r[0]}, global(x, Affine::of(loaded, 4), 1, 1, 4)}});
    loop.body.push_back({Load{{r[1]}, global(x, Affine::of(seen, 4), 1, 1, 4)}});
    loop.body.push_back({Load{{r[2]}, global(x, Affine::of(fixed), 1, 1, 4)}});
    loop.body.push_back({Store{global(o, Affine::of(p, 12), 1, 4, 4), r, StoreMode::store}});
    task.body.push_back({WindowOpen{0, index, Affine::of(int_row_begin), Affine::of(int_row_end)}});
    task.body.push_back({loop});
    const CompiledKernel kernel(b.kernel);

    const GuardedArray<float> in(whole_numbers<float>(44)), out(std::vector<float>(48));
    const GuardedArray<std::int32_t> indices({3, 0, 9, 1});
    const std::vector<std::int32_t> entries = {40, 0, 8, 4};
    for (const bool null : {false, true}) {
        kernel.run({in.data(), out.data(), null ? nullptr : indices.data()}, 0, 4);
        for (int row = 0; row < 4; ++row) {
            const int place = null ? row : indices.data()[row];
            for (int lane = 0; lane < 4; ++lane) {
                CHECK(out.data()[row * 12 + lane] == in.data()[place * 4 + lane]);
                CHECK(out.data()[row * 12 + 4 + lane] == in.data()[place * 4 + lane]);
                CHECK(out.data()[row * 12 + 8 + lane] == in.data()[entries[static_cast<std::size_t>(row)] + lane]);
            }
        }
    }
}

TEST_CASE("llvm: a prefetch names every line that its elements may touch, once") {
    const auto requests = [](const Affine& base, std::int64_t count, bool write) {
        CpuKernelBuilder b(DType::float32, 4);
        const BufferId x = b.operand("x");
        b.task().body.push_back({Prefetch{x, base, count, write}});
        const std::string text = emit_llvm(b.kernel), call = "call void @llvm.prefetch.p0(ptr %";
        int found = 0;
        for (std::size_t at = text.find(call); at != std::string::npos; at = text.find(call, at + 1)) ++found;
        CHECK((text.find("i32 1, i32 3, i32 1)") != std::string::npos) == write);
        return found;
    };
    CHECK(requests(Affine(0), 1, false) == 1);
    CHECK(requests(Affine(0), 8, true) == 2);
    CHECK(requests(Affine::of(int_row_begin, 16), 16, false) == 2);
    CHECK(requests(Affine::of(int_row_begin, 3), 24, false) == 3);
}

TEST_CASE("llvm: every chunk of every task runs once") {
    if (!have_llvm_backend()) return;
    CpuKernelBuilder b(DType::float64, 4);
    const BufferId x = b.operand("x"), o = b.operand("o");
    for (const std::int64_t chunks : {3, 1, 0, 2}) {
        Block& body = b.task(chunks).body;
        const IntId n = b.integer("n");
        const RegId r = b.reg();
        For rows{n, Affine::of(int_row_begin), Affine::of(int_row_end), 1, {}};
        rows.body.push_back({Load{{r}, global(x, Affine::of(n, 12) + Affine::of(int_chunk, 4), 1, 1, 4)}});
        rows.body.push_back({Store{global(o, Affine::of(n, 12) + Affine::of(int_chunk, 4), 1, 1, 4), {r}, StoreMode::add}});
        body.push_back({rows});
    }
    const GuardedArray<double> in(whole_numbers<double>(24)), out(std::vector<double>(24));
    CompiledKernel(b.kernel).run({in.data(), out.data()}, 0, 2);
    for (int i = 0; i < 24; ++i) CHECK(out.data()[i] == in.data()[i] * (i % 12 < 4 ? 3 : i % 12 < 8 ? 2 : 1));
}

TEST_CASE("llvm: buffers of another type than the arithmetic") {
    if (!have_llvm_backend()) return;
    CpuKernelBuilder b(DType::float64, 4);
    const BufferId x = b.operand("x", DType::float32), o = b.operand("o", DType::float32);
    Block& body = b.task().body;
    const std::vector<RegId> r = b.regs(3);
    const RegId u = b.reg(true);
    body.push_back({Load{r, global(x, 0, 3, 1, 4)}});
    body.push_back({Load{{u}, global(x, 12, 0, 1, 4)}});
    body.push_back({Store{global(o, 0, 3, 1, 4), r, StoreMode::store}});
    body.push_back({ReduceStore{global(o, 12, 0, 1, 4), r, StoreMode::store}});
    body.push_back({Store{global(o, 15, 0, 1, 4), {u}, StoreMode::store}});
    const std::vector<float> in = whole_numbers<float>(13);
    const std::vector<float> out = run_float(b.kernel, in, 16, 0, 1);
    for (std::size_t i = 0; i < 12; ++i) CHECK(out[i] == in[i]);
    for (std::size_t k = 0; k < 3; ++k) CHECK(out[12 + k] == in[k] + in[3 + k] + in[6 + k] + in[9 + k]);
    CHECK(out[15] == in[12]);
}

TEST_CASE("llvm: the text is a function of the kernel; what a CPU lacks is refused by name") {
    if (!have_llvm_backend()) return;
    const Kernel kernel = sums_kernel(DType::float32, 8, 5, true, StoreMode::add);
    CHECK(emit_llvm(kernel) == emit_llvm(kernel));

    CpuKernelBuilder b(DType::float32, 8);
    b.task().body.push_back({SyncWarp{}});
    CHECK_THROWS_AS(emit_llvm(b.kernel), InternalError);
    Kernel odd = kernel;
    odd.lanes = 12;
    CHECK_THROWS_AS(emit_llvm(odd), InternalError);
    odd = kernel;
    odd.name = "two words";
    CHECK_THROWS_AS(emit_llvm(odd), InternalError);
    odd = kernel;
    odd.target = cuda_target("sm_90");
    CHECK_THROWS_AS(emit_llvm(odd), InternalError);
}
