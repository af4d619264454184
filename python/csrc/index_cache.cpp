#include "index_cache.hpp"

#include <ATen/core/dispatch/Dispatcher.h>
#include <c10/core/StorageImpl.h>

#include <algorithm>
#include <cstdlib>
#include <deque>
#include <mutex>
#include <optional>
#include <string_view>

#include "autograd.hpp"
#include "tensors.hpp"

namespace flashtp::torch_operators {
namespace {

using Index = std::array<at::Tensor, 3>;
using Memory = c10::weak_intrusive_ptr<c10::StorageImpl>;

/// What tells one row of numbers in memory from all others.
struct Part {
    const c10::StorageImpl* storage;
    std::int64_t offset, size, stride;
    at::ScalarType dtype;
    std::uint32_t version;

    explicit Part(const at::Tensor& t)
        : storage(t.storage().unsafeGetStorageImpl()), offset(t.storage_offset()), size(t.size(0)), stride(t.stride(0)),
          dtype(t.scalar_type()), version(t.unsafeGetTensorImpl()->version_counter().current_version()) {}
    bool operator==(const Part&) const = default;
};

struct Key {
    Part receiver, sender;
    std::int64_t receivers, senders;
    bool by_sender;
    void* stream;

    bool operator==(const Key&) const = default;
};

/// A storage that a weak pointer points to has an address of its own, also after its memory is gone.
struct Entry {
    Key key;
    Memory receiver, sender;
    Index index;

    bool is_alive() const { return !receiver.expired() && !sender.expired(); }
};

struct Cache {
    static constexpr std::size_t capacity = 16;
    std::mutex mutex;
    std::deque<Entry> entries;  ///< newest first
};

/// Never destroyed: the device may be gone before static objects are.
Cache& cache() {
    static auto* const only = new Cache;
    return *only;
}

std::optional<Index> find(const Key& key) {
    const std::lock_guard lock(cache().mutex);
    for (const Entry& entry : cache().entries)
        if (entry.key == key && entry.is_alive()) return entry.index;
    return std::nullopt;
}

void remember(Entry entry) {
    const std::lock_guard lock(cache().mutex);
    auto& entries = cache().entries;
    std::erase_if(entries, [](const Entry& e) { return !e.is_alive(); });
    entries.push_front(std::move(entry));
    if (entries.size() > Cache::capacity) entries.pop_back();
}

/// Nothing for tensors whose index is not kept: inference tensors have no version counter that would tell of a change, and what is
/// captured into a CUDA graph has to make the index anew in every replay.
std::optional<Key> key_of(const at::Tensor& receiver, const at::Tensor& sender, std::int64_t receivers, std::int64_t senders,
                          bool by_sender) {
    if (!is_plain({receiver, sender}) || receiver.is_inference() || sender.is_inference()) return std::nullopt;
    if (receiver.dim() != 1 || sender.dim() != 1) return std::nullopt;
    void* const stream = receiver.is_cuda() ? current_stream(receiver.get_device()) : nullptr;
    if (receiver.is_cuda() && is_capturing(stream)) return std::nullopt;
    return Key{Part(receiver), Part(sender), receivers, senders, by_sender, stream};
}

using Built = std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor>;

Built build(const at::Tensor& receiver, const at::Tensor& sender, std::int64_t receivers, std::int64_t senders, bool by_sender) {
    using Signature =
        Built(const at::Tensor&, const at::Tensor&, c10::SymInt, c10::SymInt, bool, const std::optional<at::Tensor>&);
    static const auto operation =
        c10::Dispatcher::singleton().findSchemaOrThrow("flashtp::receiver_index", "").typed<Signature>();
    return operation.call(receiver, sender, receivers, senders, by_sender, std::nullopt);
}

bool is_checked(const at::Tensor& receiver) {
    const char* const setting = std::getenv("FLASHTP_CHECK_EDGES");
    return !receiver.is_cuda() || !setting || std::string_view(setting) != "0";
}

/// Throws for rows out of range, and drops `edge` where the edges are sorted.
void examine(Index& index, const at::Tensor& report, const Key& key, const at::Tensor& receiver, const at::Tensor& sender) {
    const at::Tensor here = report.cpu();
    const auto* const found = here.const_data_ptr<std::int64_t>();
    const std::int64_t invalid = found[0];
    TORCH_CHECK(invalid < 0, "flashtp: edge ", invalid, " has receiver ", receiver[invalid].item<std::int64_t>(), " and sender ",
                sender[invalid].item<std::int64_t>(), "; there are ", key.receivers, " receivers and ", key.senders, " senders");
    if (found[1] == 0) index[2] = index[2].slice(0, 0, 0);
}

Memory memory_of(const at::Tensor& tensor) { return Memory(tensor.storage().getWeakStorageImpl()); }

}  // namespace

Index receiver_index(const at::Tensor& receiver, const at::Tensor& sender, std::int64_t receivers, std::int64_t senders,
                     bool by_sender) {
    const std::optional<Key> key = key_of(receiver, sender, receivers, senders, by_sender);
    if (key)
        if (const auto found = find(*key)) return *found;
    auto [row_ptr, by_position, edge, report] = build(receiver, sender, receivers, senders, by_sender);
    Index index{row_ptr, by_position, edge};
    if (!key) return index;
    if (is_checked(receiver)) examine(index, report, *key, receiver, sender);
    remember({*key, memory_of(receiver), memory_of(sender), index});
    return index;
}

}  // namespace flashtp::torch_operators
