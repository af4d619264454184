// Runs the targets on their corpora and on mutations of them, for machines without libFuzzer. The seed is printed; the input that ends
// the program lies in the file that it names.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>

#include "tests/fuzz/targets.hpp"

namespace flashtp::test {
namespace {

using Clock = std::chrono::steady_clock;
using Input = std::vector<std::uint8_t>;

/// Pieces that parsers care about.
const char* const pieces[] = {"0e",   "1o", "x",    "+",           "128x", "[",          "]",   "{", "}",
                              "\"",   ",",  ":",    "null",        "1e9",  "-1",         "0",   ".", "true",
                              "\\u0", "\n", "/tmp", "99999999999", "uvu",  "irreps_in1", "off", "on"};

std::vector<Input> corpus_of(const std::filesystem::path& directory) {
    std::vector<Input> corpus;
    std::vector<std::filesystem::path> paths;
    for (const auto& file : std::filesystem::directory_iterator(directory)) paths.push_back(file.path());
    std::sort(paths.begin(), paths.end());
    for (const auto& path : paths) {
        std::ifstream stream(path, std::ios::binary);
        corpus.emplace_back(std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>());
    }
    return corpus;
}

class Mutator {
  public:
    explicit Mutator(unsigned seed) : random_(seed) {}

    Input mutate(const std::vector<Input>& corpus) {
        Input input = pick(corpus);
        const std::size_t times = 1 + below(6);
        for (std::size_t i = 0; i < times; ++i) change(input, corpus);
        if (input.size() > 8192) input.resize(8192);
        return input;
    }

  private:
    std::size_t below(std::size_t bound) { return bound == 0 ? 0 : random_() % bound; }
    const Input& pick(const std::vector<Input>& corpus) { return corpus[below(corpus.size())]; }

    void change(Input& input, const std::vector<Input>& corpus) {
        const auto at = input.begin() + static_cast<std::ptrdiff_t>(below(input.size() + 1));
        const auto byte = static_cast<std::uint8_t>(random_());
        switch (below(7)) {
        case 0: input.insert(at, byte); break;
        case 1:
            if (at != input.end()) *at = byte;
            break;
        case 2:
            if (at != input.end()) *at = static_cast<std::uint8_t>(*at ^ (1u << below(8)));
            break;
        case 3: input.erase(at, std::min(input.end(), at + static_cast<std::ptrdiff_t>(below(8)))); break;
        case 4: {
            const char* const piece = pieces[below(std::size(pieces))];
            input.insert(at, piece, piece + std::strlen(piece));
            break;
        }
        case 5: {
            const Input& other = pick(corpus);
            const auto from = other.begin() + static_cast<std::ptrdiff_t>(below(other.size()));
            input.insert(at, from, std::min(other.end(), from + static_cast<std::ptrdiff_t>(below(64))));
            break;
        }
        default: input.resize(below(input.size() + 1)); break;
        }
    }

    std::mt19937 random_;
};

/// Runs a target on one input, which is on disk while it runs. False for an exception that is no UserError, and for a second and more.
bool try_input(const FuzzTarget& target, const Input& input, const std::string& file) {
    std::ofstream(file, std::ios::binary)
        .write(reinterpret_cast<const char*>(input.data()), static_cast<std::streamsize>(input.size()));
    const auto start = Clock::now();
    try {
        target.run(input);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "%s: %s; input in %s\n", target.name, error.what(), file.c_str());
        return false;
    }
    // Ten under sanitizers and on busy machines.
    if (Clock::now() - start < std::chrono::seconds(10)) return true;
    std::fprintf(stderr, "%s: took too long; input in %s\n", target.name, file.c_str());
    return false;
}

bool fuzz(const FuzzTarget& target, const std::filesystem::path& corpora, double seconds, unsigned seed) {
    const std::vector<Input> corpus = corpus_of(corpora / target.name);
    if (corpus.empty()) {
        std::fprintf(stderr, "%s: its corpus is empty\n", target.name);
        return false;
    }
    const std::string file = std::string("/dev/shm/flashtp-fuzz-") + target.name + "-" + std::to_string(seed);
    Mutator mutator(seed);
    long runs = 0;
    for (const Input& input : corpus) {
        if (!try_input(target, input, file)) return false;
    }
    const auto until = Clock::now() + std::chrono::duration<double>(seconds);
    for (; Clock::now() < until; ++runs) {
        if (!try_input(target, mutator.mutate(corpus), file)) return false;
    }
    std::remove(file.c_str());
    std::printf("%-12s %zu files of the corpus, %ld mutations, seed %u\n", target.name, corpus.size(), runs, seed);
    return true;
}

}  // namespace
}  // namespace flashtp::test

/// flashtp-fuzz CORPORA SECONDS [SEED [TARGET]]
int main(int argc, char** argv) {
    using namespace flashtp::test;
    if (argc < 3) {
        std::fprintf(stderr, "usage: flashtp-fuzz CORPORA SECONDS-A-TARGET [SEED [TARGET]]\n");
        return 2;
    }
    const unsigned seed = argc > 3 ? static_cast<unsigned>(std::atoi(argv[3])) : std::random_device()();
    std::printf("seed %u\n", seed);
    bool good = true;
    for (const FuzzTarget& target : fuzz_targets()) {
        if (argc > 4 && std::strcmp(argv[4], target.name) != 0) continue;
        good &= fuzz(target, argv[1], std::atof(argv[2]), seed);
    }
    return good ? 0 : 1;
}
