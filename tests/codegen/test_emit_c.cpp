#include <dlfcn.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include <doctest/doctest.h>

#include "codegen/effort.hpp"
#include "codegen/emit_c.hpp"
#include "codegen/names.hpp"
#include "codegen/source_writer.hpp"
#include "codegen/task_printer.hpp"
#include "ir/error.hpp"
#include "ir/interpret.hpp"
#include "tests/codegen/sample_data.hpp"
#include "tests/codegen/sample_kernels.hpp"
#include "tests/support/file_text.hpp"

using namespace flashtp;
using namespace flashtp::test;
namespace fs = std::filesystem;

namespace {

void check_golden(const std::string& name, const std::string& text) {
    CHECK(text == kept_text(fs::path(FLASHTP_SOURCE_DIR) / "tests/codegen/golden" / name, text));
}

Dialect without_prelude(Dialect dialect) {
    dialect.prelude = dialect.prelude_parts = dialect.prelude_shares = {};
    return dialect;
}

/// Compiles plain C++ and loads it; unloads and removes it at the end of the scope.
class CompiledCpp {
  public:
    CompiledCpp(const std::string& name, const std::string& source)
        : directory_(fs::temp_directory_path() / ("flashtp-" + name + "-XXXXXX")) {
        std::string path = directory_.string();
        REQUIRE(mkdtemp(path.data()) != nullptr);
        directory_ = path;
        std::ofstream(directory_ / "kernel.cpp") << source;
        const char* compiler = std::getenv("CXX");
        const std::string command = std::string(compiler ? compiler : "c++") +
                                    " -std=c++17 -O1 -Wall -Wextra -Werror -Wno-unused -shared -fPIC -o " + path + "/kernel.so " +
                                    path + "/kernel.cpp";
        REQUIRE(std::system(command.c_str()) == 0);
        library_ = dlopen((directory_ / "kernel.so").c_str(), RTLD_NOW);
        REQUIRE(library_ != nullptr);
        function_ = reinterpret_cast<Function*>(dlsym(library_, name.c_str()));
        const bool found = function_ != nullptr;
        REQUIRE(found);
    }
    ~CompiledCpp() {
        if (library_) dlclose(library_);
        fs::remove_all(directory_);
    }
    void operator()(void* const* buffers, std::int64_t begin, std::int64_t end) const { function_(buffers, begin, end); }

  private:
    using Function = void(void* const*, std::int64_t, std::int64_t);
    fs::path directory_;
    void* library_ = nullptr;
    Function* function_ = nullptr;
};

template <class T>
void run_as_cpp(const std::string& target, DType dtype) {
    const Kernel kernel = every_construct(target, dtype);
    const CompiledCpp compiled(kernel.name, emit_c(kernel, cpp_dialect()));
    SampleData<T> data;
    const auto pointers = data.pointers();
    compiled(pointers.data(), 0, 4);
    compiled(pointers.data(), 4, data.nodes);
    data.check();
}

}  // namespace

TEST_CASE("emit_c: golden text") {
    check_golden("scaled_rows.cu", emit_c(scaled_rows("sm_90a"), without_prelude(cuda_dialect())));
    check_golden("scaled_rows.cpp.txt", emit_c(scaled_rows("cpu"), cpp_dialect()));
    check_golden("every_construct_sm_90a.cu", emit_c(every_construct("sm_90a", DType::float32), without_prelude(cuda_dialect())));
    check_golden("every_construct_sm_80.cu", emit_c(every_construct("sm_80", DType::float64), without_prelude(cuda_dialect())));
}

TEST_CASE("emit_c: the same kernel gives the same bytes") {
    CHECK(emit_c(every_construct("sm_90a", DType::float32), cuda_dialect()) ==
          emit_c(every_construct("sm_90a", DType::float32), cuda_dialect()));
}

TEST_CASE("emit_c: the sample kernels are valid and compute what they say") {
    for (const char* target : {"sm_80", "sm_90a"}) {
        CAPTURE(target);
        const Kernel kernel = every_construct(target, DType::float64);
        verify(kernel);
        SampleData<double> data;
        InterpreterArguments arguments;
        const auto pointers = data.pointers();
        for (std::size_t n = 0; n < pointers.size(); ++n) {
            const std::size_t ints = n == arg_sender ? data.sender.size() : n == arg_row_ptr ? data.row_ptr.size() : 0;
            arguments.buffers.push_back({pointers[n], static_cast<std::int64_t>(ints + data.operands[n].size())});
        }
        arguments.rows = data.nodes;
        interpret(kernel, arguments);
        data.check();
    }
}

TEST_CASE("emit_c: plain C++ compiles and runs") {
    run_as_cpp<float>("sm_90a", DType::float32);
    run_as_cpp<double>("sm_80", DType::float64);
}

TEST_CASE("emit_c: plain C++ with four lanes and two chunks") {
    const Kernel kernel = scaled_rows("cpu");
    verify(kernel);
    const CompiledCpp compiled(kernel.name, emit_c(kernel, cpp_dialect()));
    std::vector<float> x(15), y(6), z(15, -1.0f);
    for (std::size_t n = 0; n < x.size(); ++n) x[n] = 0.5f * static_cast<float>(n);
    for (std::size_t n = 0; n < y.size(); ++n) y[n] = static_cast<float>(n) - 2;
    void* buffers[] = {x.data(), y.data(), z.data()};
    compiled(buffers, 0, 3);
    for (std::size_t e = 0; e < 3; ++e)
        for (std::size_t c = 0; c < 5; ++c) CHECK(z[5 * e + c] == 0.25f * x[5 * e + c] * y[2 * e] + y[2 * e + 1]);
}

TEST_CASE("emit_c: a user's names cannot leave comments or collide") {
    Kernel kernel = scaled_rows("sm_90a");
    kernel.header = {"line\nint injected;\\", "\\"};
    kernel.buffers[0].name = "float";
    kernel.buffers[1].name = "y; int injected";
    kernel.tasks[0].name = "a b";
    kernel.tasks[0].comments = {"\r\nint injected;"};
    kernel.tasks[0].registers[0].name = kernel.tasks[0].registers[1].name = "lane";
    const std::string text = emit_c(kernel, without_prelude(cuda_dialect()));
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) {
        if (line.find("injected") == std::string::npos) continue;
        CAPTURE(line);
        const bool harmless = line.starts_with("//") || line.find("y__int_injected") != std::string::npos;
        CHECK(harmless);
    }
    CHECK(text.find("\\\n") == std::string::npos);
    CHECK(text.find("float lane_2 =") != std::string::npos);
    CHECK(text.find("float lane_3 =") != std::string::npos);
    kernel.name = "not a name";
    CHECK_THROWS_AS(emit_c(kernel, cuda_dialect()), InternalError);
}

TEST_CASE("emit_c: literals read back as the same number") {
    CHECK(c_literal(1, DType::float32) == "1.0f");
    CHECK(c_literal(-0.1, DType::float32) == "-0.1f");
    CHECK(c_literal(1e-7, DType::float32) == "1e-07f");
    CHECK(c_literal(1.0 / 3, DType::float64) == "0.3333333333333333");
    CHECK(c_literal(1e300, DType::float64) == "1e+300");
    CHECK_THROWS_AS(c_literal(1e300, DType::float32), InternalError);
    for (double v = 0.1; v < 1e6; v *= 1.7) {
        CHECK(std::strtof(c_literal(v, DType::float32).c_str(), nullptr) == static_cast<float>(v));
        CHECK(std::strtod(c_literal(v, DType::float64).c_str(), nullptr) == v);
    }
}

TEST_CASE("emit_c: products of rows are 64 bits wide, those of chunks and stages are not") {
    const std::string text = emit_c(every_construct("sm_90a", DType::float32), without_prelude(cuda_dialect()));
    CHECK(text.find("(long long)e * 32") != std::string::npos);
    CHECK(text.find("(long long)s * 32") != std::string::npos);
    CHECK(text.find("(long long)stage") == std::string::npos);

    Kernel kernel = scaled_rows("cpu");
    KernelTask& task = kernel.tasks[0];
    const auto id = [&](const char* name) { return task.ints.push_back(name), static_cast<IntId>(task.ints.size()) - 1; };
    const IntId tile = id("tile"), small = id("small"), grown = id("grown");
    task.body = {{IntLet{tile, Affine::of(int_row_begin, 1000)}},
                 {IntLet{small, Affine::of(int_chunk, 1000) + Affine(3)}},
                 {IntLet{grown, 0}},
                 {IntSet{grown, Affine::of(grown, 2) + Affine(1)}}};
    const std::string ints = emit_c(kernel, cpp_dialect());
    CHECK(ints.find("long long tile = (long long)row_begin * 1000;") != std::string::npos);
    CHECK(ints.find("int small = chunk * 1000 + 3;") != std::string::npos);
    CHECK(ints.find("long long grown = 0;") != std::string::npos);
}

/// Puts arithmetic where the kernel adds up over edges.
bool add_to_inner_loop(Block& block, int loops, int count) {
    for (KernelStatement& s : block) {
        auto* loop = std::get_if<For>(&s.node);
        const bool runs = loop && !loop->end.terms.empty();
        if (runs && loops == 1) {
            for (int k = 0; k < count; ++k) loop->body.push_back({Mul{0, 0, 2.0}});
            return true;
        }
        if (runs && add_to_inner_loop(loop->body, loops + 1, count)) return true;
    }
    return false;
}

TEST_CASE("efforts: what tasks do for an edge, as parts of 2^32") {
    CHECK(efforts_before(scaled_rows("sm_90a")) == std::vector<std::uint32_t>{0});
    Kernel kernel = every_construct("sm_90a", DType::float32);
    kernel.tasks.push_back(kernel.tasks[0]);
    kernel.tasks[1].chunks = 2;
    CHECK(efforts_before(kernel) == std::vector<std::uint32_t>{0, 0x55555555, 0xaaaaaaaa});
    REQUIRE(add_to_inner_loop(kernel.tasks[1].body, 0, 10'000));
    const std::vector<std::uint32_t> heavier = efforts_before(kernel);
    CHECK(heavier[1] < 0x04000000);
    CHECK(heavier[2] - heavier[1] > 0x78000000);
}

TEST_CASE("grid_size: beyond 32 bits") {
    Kernel kernel = scaled_rows("sm_90a");
    kernel.warps_per_block = 4;
    const GridSize grid = grid_size(kernel, 100'000'000'000, 2);
    CHECK(grid.x == 12'500'000'000);
    CHECK(grid.y == 1);
    CHECK(grid_size(kernel, 0, 2).x == 0);
    CHECK(grid_size(kernel, 9, 2).x == 2);
}

TEST_CASE("Names: near what was wanted, and unique") {
    Names names;
    CHECK(names.unique("x_1o_2") == "x_1o_2");
    CHECK(names.unique("x_1o_2") == "x_1o_2_2");
    CHECK(names.unique("while") == "while_2");
    CHECK(names.unique("1x0e + 1x1o") == "v1x0e___1x1o");
    CHECK(names.unique("") == "v");
    CHECK_FALSE(is_identifier("9a"));
}
