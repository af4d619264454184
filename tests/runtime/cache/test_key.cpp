// Names of cache entries: standard digests, fields that cannot be confused, and every input that changes code in the key.
#include <random>
#include <set>
#include <vector>

#include <doctest/doctest.h>

#include "ir/error.hpp"
#include "runtime/cache/key.hpp"

using namespace flashtp;

namespace {

Kernel sample_kernel() {
    Kernel kernel;
    kernel.name = "kernel";
    kernel.target = cuda_target("sm_90a");
    return kernel;
}

std::string key_of(const Kernel& kernel, std::string_view source = "source", std::string_view toolchain = "compiler 1") {
    return kernel_key(kernel, source, toolchain).hex();
}

}  // namespace

TEST_CASE("SHA-256 of the standard's examples") {
    CHECK(to_hex(sha256("")) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    CHECK(to_hex(sha256("abc")) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST_CASE("fields with different boundaries give different keys") {
    const auto text = [](std::vector<std::pair<std::string, std::string>> fields) {
        Key key;
        for (const auto& [tag, value] : fields) key.add(tag, value);
        return key.text();
    };
    const std::set<std::string> texts = {text({{"a", "bc"}}),     text({{"ab", "c"}}),          text({{"a", "b"}, {"c", ""}}),
                                         text({{"a", "1:b\n"}}),  text({{"a", ""}, {"a", ""}}), text({{"a", ""}}),
                                         text({{"a", "\na:0:"}}), text({{"a", "b:1:c\n"}})};
    CHECK(texts.size() == 8);
    CHECK_THROWS_AS(Key().add("a:b", ""), InternalError);
    CHECK_THROWS_AS(Key().add("", ""), InternalError);
}

TEST_CASE("K1: whatever can change the code changes the key") {
    std::set<std::string> keys;
    Kernel kernel = sample_kernel();
    keys.insert(key_of(kernel));
    keys.insert(key_of(kernel, "source "));
    keys.insert(key_of(kernel, "source", "compiler 2"));
    kernel.name = "other";
    keys.insert(key_of(kernel));
    kernel.target = cuda_target("sm_90");
    keys.insert(key_of(kernel));

    kernel.target = cpu_target("x86-64-v3");
    keys.insert(key_of(kernel));
    kernel.target.features.push_back("+sse4a");
    keys.insert(key_of(kernel));
    kernel.target.cpu = "znver3";
    keys.insert(key_of(kernel));
    kernel.target.triple = "x86_64-pc-linux-gnu";
    keys.insert(key_of(kernel));
    kernel.target.vector_bits = 128;
    keys.insert(key_of(kernel));
    CHECK(keys.size() == 10);
}

TEST_CASE("the name of a CPU target is no part of the key, its features are") {
    Kernel kernel = sample_kernel();
    kernel.target = cpu_target("x86-64-v3");
    const std::string before = key_of(kernel);
    kernel.target.name = "cpu";
    CHECK(key_of(kernel) == before);
}

TEST_CASE("a key can be read") {
    const std::string text = kernel_key(sample_kernel(), "source", "compiler 1").text();
    CHECK(text.find("cuda-architecture:6:sm_90a\n") != std::string::npos);
    CHECK(text.find("toolchain:10:compiler 1\n") != std::string::npos);
    CHECK(text.find("source-bytes:1:6\n") != std::string::npos);
}

TEST_CASE("K8: fields and texts are one to one") {
    Key key;
    key.add("a", "").add("b", "x:1:y\n").add("c", std::string("\0\n:", 3));
    const std::vector<KeyField> fields = {{"a", ""}, {"b", "x:1:y\n"}, {"c", std::string("\0\n:", 3)}};
    CHECK(key_fields(key.text()) == fields);
    for (const char* bad :
         {"a", "a:", "a:1:", "a:1:b", "a:2:b\n", "a:01:b\n", ":1:b\n", "a:-1:\n", "a:18446744073709551616:b\n", "a:1:bb\n"}) {
        CAPTURE(bad);
        CHECK_THROWS_AS(key_fields(bad), UserError);
    }
    // Random fields of few characters, which meet each other's boundaries often.
    std::mt19937 random(1);
    const auto text = [&](const char* alphabet, std::size_t longest) {
        std::string made;
        for (std::size_t left = random() % (longest + 1); left > 0; --left) made += alphabet[random() % 4];
        return made;
    };
    for (int i = 0; i < 100'000; ++i) {
        Key made;
        std::vector<KeyField> added;
        for (unsigned n = random() % 4; n > 0; --n) {
            added.push_back({"t" + text("ab01", 2), text("1:\na", 4)});
            made.add(added.back().tag, added.back().value);
        }
        REQUIRE(key_fields(made.text()) == added);
    }
}
