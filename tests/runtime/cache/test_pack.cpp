// Packs: the same bytes for the same entries, read without being written, and refused when they are damaged.
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include <doctest/doctest.h>

#include "ir/error.hpp"
#include "runtime/cache/entry.hpp"
#include "tests/runtime/cache/sample_entry.hpp"
#include "tests/runtime/temporary_directory.hpp"

using namespace flashtp;
using namespace flashtp::test;
namespace fs = std::filesystem;

namespace {

PackEntry entry_named(const std::string& name) {
    const Key key = sample_key(name);
    return {key.hex(), to_bytes({key.text(), sample_artifact()})};
}

std::vector<PackEntry> three() { return {entry_named("1"), entry_named("2"), entry_named("3")}; }

void write_bytes(const fs::path& path, const std::vector<std::uint8_t>& bytes) {
    write_text(path, {bytes.begin(), bytes.end()});
    ::chmod(path.c_str(), 0644);
}

}  // namespace

TEST_CASE("the same entries give the same pack, in any order") {
    std::vector<PackEntry> backwards = three();
    std::ranges::reverse(backwards);
    CHECK(pack_bytes(three()) == pack_bytes(backwards));
    CHECK(pack_bytes({}).size() > 0);
}

TEST_CASE("a pack is a layer behind the directory") {
    const TemporaryDirectory directory;
    const fs::path pack = directory.path() / "kernels.pack";
    write_bytes(pack, pack_bytes(three()));
    Log log;
    ArtifactStore store({.directory = directory.path() / "cache", .read_only = {pack}, .lock_seconds = 0}, log);
    CHECK(store.load(sample_key("2"))->code == sample_artifact().code);
    CHECK_FALSE(store.load(sample_key("4")));
    CHECK(store.counts().hits == 1);
    CHECK(store.counts().read_only_hits == 1);
    CHECK(store.list().empty());
    CHECK(store.list(true).size() == 3);
    CHECK(store.list(true)[0].path == pack);
    CHECK(store.find(sample_key("3").hex().substr(0, 12)).name == sample_key("3").hex());
    CHECK_THROWS_AS(store.find("zz"), UserError);

    // Replacing the file does not disturb who has it open.
    write_bytes(directory.path() / "other", pack_bytes({}));
    fs::rename(directory.path() / "other", pack);
    CHECK(store.load(sample_key("1")));
}

TEST_CASE("entries move between directories by way of a pack") {
    const TemporaryDirectory directory;
    Log log;
    ArtifactStore from(in(directory.path() / "from"), log), to(in(directory.path() / "to"), log);
    for (const char* name : {"1", "2", "3"}) CHECK(from.save(sample_key(name), sample_artifact()));
    const auto bytes = pack_bytes(from.entries());
    CHECK(bytes == pack_bytes(three()));
    write_bytes(directory.path() / "pack", bytes);
    const Pack pack(directory.path() / "pack", {});
    for (const std::string& name : pack.names()) CHECK(to.add({name, pack.read(name).bytes}) == "");
    CHECK(to.list().size() == 3);
    PackEntry bad = entry_named("4");
    bad.bytes.back() ^= 1;
    CHECK(to.add(bad) != "");
    bad = entry_named("4");
    bad.name = sample_key("5").hex();
    CHECK(to.add(bad) == "its name is not the SHA-256 of its key");
}

TEST_CASE("C7: every damage to a pack's index is refused, damage to an entry is a miss") {
    const TemporaryDirectory directory;
    const fs::path path = directory.path() / "pack";
    const auto good = pack_bytes(three());
    const std::size_t index = 24 + 3 * 48 + 32;
    for (std::size_t bit = 0; bit < 8 * index; ++bit) {
        auto bad = good;
        bad[bit / 8] = static_cast<std::uint8_t>(bad[bit / 8] ^ (1u << (bit % 8)));
        CHECK_THROWS_AS(parse_pack_index(std::span(bad).first(index), bad.size()), UserError);
    }
    for (std::size_t size = 0; size < good.size(); size += 7) {
        write_text(path, {good.begin(), good.begin() + static_cast<std::ptrdiff_t>(size)});
        CHECK_THROWS_AS(Pack(path, {}), UserError);
    }
    auto bad = good;
    bad[index + 100] ^= 1;
    write_bytes(path, bad);
    Warnings warnings;
    ArtifactStore store({.read_only = {path}}, warnings.log);
    int loaded = 0;
    for (const char* name : {"1", "2", "3"}) loaded += store.load(sample_key(name)).has_value();
    CHECK(loaded == 2);
    CHECK(store.counts().rejected == 1);
}

TEST_CASE("a layer that cannot be used is reported and left out") {
    const TemporaryDirectory directory;
    const fs::path pack = directory.path() / "kernels.pack";
    write_bytes(pack, pack_bytes(three()));
    ::chmod(pack.c_str(), 0666);
    Warnings warnings;
    ArtifactStore store({.read_only = {directory.path() / "absent", pack, directory.path()}}, warnings.log);
    CHECK_FALSE(store.load(sample_key("1")));
    CHECK_FALSE(store.save(sample_key("1"), sample_artifact()));
    CHECK(warnings.messages.size() == 2);
}
