// Warp<T>: what moves numbers between registers, shared and global memory.
#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <cstdlib>
#include <type_traits>

#include <fmt/format.h>

#include "ir/interpret_warp.hpp"

namespace flashtp::interpreter {

/// What a word of shared memory holds of a type for storage.
template <class T>
using StoredWord = std::array<std::uint16_t, sizeof(T) / sizeof(std::uint16_t)>;

/// Fills elements_ for the first `lanes` lanes.
template <class T>
void Warp<T>::resolve(const Access& a, int lanes) {
    const std::int64_t base = value(a.base), entry = a.table ? value(a.table_base) : 0;
    for (int lane = 0; lane < lanes; ++lane) {
        const std::int64_t part = a.table ? global_.integer(site_, *a.table, entry + lane, false, lane) : lane;
        elements_[static_cast<std::size_t>(lane)] = base + part * a.lane_stride;
    }
}

template <class T>
T Warp<T>::shared_number(const Access& a, std::int64_t index, int lane) {
    if (!a.stored) return words_[shared_.read(site_, {a.buffer, index, lane})];
    constexpr auto in_a_word = static_cast<std::int64_t>(std::tuple_size_v<StoredWord<T>>);
    const T word = words_[shared_.read(site_, {a.buffer, index < 0 ? index : index / in_a_word, lane})];
    return from_storage(std::bit_cast<StoredWord<T>>(word)[static_cast<std::size_t>(index % in_a_word)], *a.stored);
}

/// A uniform register is read once, by lane 0 here: every lane gets the same.
template <class T>
std::size_t Warp<T>::operator()(const Load* s) {
    const Access& a = s->from;
    const bool one = uniform(s->dst.front());
    const int lanes = one ? 1 : a.active;
    resolve(a, lanes);
    for (std::size_t k = 0; k < s->dst.size(); ++k) {
        T* const dst = row(s->dst[k]);
        for (int lane = 0; lane < lanes; ++lane) {
            const std::int64_t index =
                elements_[static_cast<std::size_t>(lane)] + static_cast<std::int64_t>(k) * a.component_stride;
            dst[lane] = a.place == Place::global ? global_.get<T>(site_, a.buffer, index, lane)
                                                 : shared_number(a, index, lane);
        }
        std::fill(dst + lanes, dst + lanes_, one ? dst[0] : T(0));
    }
    return next_;
}

/// Sums in the order of a butterfly over the lanes, so that float results are those of a GPU.
template <class T>
T Warp<T>::sum(RegId id) {
    std::copy_n(row(id), lanes_, scratch_.begin());
    int count = lanes_;
    for (int step = static_cast<int>(std::bit_ceil(static_cast<unsigned>(lanes_))) / 2; step > 0; step /= 2) {
        for (int lane = step; lane < count; ++lane)
            scratch_[static_cast<std::size_t>(lane - step)] += scratch_[static_cast<std::size_t>(lane)];
        count = std::min(count, step);
    }
    return scratch_[0];
}

template <class T>
std::size_t Warp<T>::operator()(const LaneSum* s) {
    std::vector<T> sums;
    for (const RegId id : s->src) sums.push_back(sum(id));
    for (std::size_t k = 0; k < sums.size(); ++k) std::fill_n(row(s->dst[k]), lanes_, sums[k]);
    return next_;
}

template <class T>
std::size_t Warp<T>::operator()(const LaneGet* s) {
    const std::int64_t lane = value(s->lane);
    if (lane < 0 || lane >= lanes_) site_.fail(fmt::format("there is no lane {}", lane));
    for (std::size_t k = 0; k < s->src.size(); ++k) std::fill_n(row(s->dst[k]), lanes_, row(s->src[k])[lane]);
    return next_;
}

/// Neighbours first, so that float results are those of a GPU.
template <class T>
std::size_t Warp<T>::operator()(const SpreadSums* s) {
    const std::int64_t first = value(s->first), unit = static_cast<std::int64_t>(std::bit_ceil(s->src.size()));
    if (first < 0 || first % unit != 0 || first + std::ssize(s->src) > lanes_)
        site_.fail(fmt::format("{} sums are not spread from lane {} on", s->src.size(), first));
    std::vector<T> sums;
    for (const RegId id : s->src) {
        std::copy_n(row(id), lanes_, scratch_.begin());
        for (int step = 1; step < lanes_; step *= 2)
            for (int lane = 0; lane + step < lanes_; lane += 2 * step)
                scratch_[static_cast<std::size_t>(lane)] += scratch_[static_cast<std::size_t>(lane + step)];
        sums.push_back(scratch_[0]);
    }
    for (std::size_t k = 0; k < sums.size(); ++k) row(s->dst)[first + static_cast<std::int64_t>(k)] += sums[k];
    return next_;
}

/// No two lanes or components store to one element. Ranges that interleave without meeting are told by their strides.
template <class T>
void Warp<T>::check_distinct(const Access& a, std::size_t components, int lanes) {
    const std::int64_t lane_step = std::abs(a.lane_stride), step = std::abs(a.component_stride);
    const auto count = static_cast<std::int64_t>(components);
    const bool nested = step > 0 && lane_step >= count * step;
    const bool interleaved = lane_step > 0 && (count == 1 || step >= lanes * lane_step);
    if (!a.table && ((lanes == 1 && count == 1) || (lanes == 1 && step > 0) || nested || interleaved)) return;
    seen_.clear();
    for (int lane = 0; lane < lanes; ++lane)
        for (std::int64_t k = 0; k < count; ++k)
            seen_.push_back(elements_[static_cast<std::size_t>(lane)] + k * a.component_stride);
    std::sort(seen_.begin(), seen_.end());
    const auto twice = std::adjacent_find(seen_.begin(), seen_.end());
    if (twice != seen_.end()) site_.fail(fmt::format("two lanes or components store to element {}", *twice));
}

/// Lanes are in lock step: all of them are checked against what was before the statement, then all of them write.
/// With lane `some_lane` in place of lane 0 where `lanes` is 0.
template <class T>
template <class Value>
void Warp<T>::store(const Access& a, std::size_t components, StoreMode mode, int lanes, Value value) {
    const bool some = lanes == 0, adds = mode != StoreMode::store;
    const auto for_each = [&](auto body) {
        for (int lane = 0; lane < (some ? 1 : lanes); ++lane)
            for (std::size_t k = 0; k < components; ++k) {
                const std::int64_t element = elements_[static_cast<std::size_t>(lane)];
                body(SharedAccess{a.buffer, element + static_cast<std::int64_t>(k) * a.component_stride, some ? some_lane : lane},
                     k);
            }
    };
    if (a.place == Place::global) {
        if (!adds) check_distinct(a, components, std::max(lanes, 1));
        for_each([&](const SharedAccess& to, std::size_t k) {
            global_.put(site_, a.buffer, to.index, value(std::max(to.lane, 0), k), mode, writer_, to.lane);
        });
        return;
    }
    for_each([&](const SharedAccess& to, std::size_t) { shared_.check_write(site_, to); });
    if (adds) for_each([&](const SharedAccess& to, std::size_t) { shared_.read(site_, to); });
    for_each([&](const SharedAccess& to, std::size_t k) {
        T& word = words_[shared_.write(site_, to, adds)];
        const T v = value(std::max(to.lane, 0), k);
        word = adds ? word + v : v;
    });
}

template <class T>
std::size_t Warp<T>::operator()(const Store* s) {
    const int lanes = uniform(s->src.front()) ? 1 : s->to.active;
    resolve(s->to, lanes);
    store(s->to, s->src.size(), s->mode, lanes, [&](int lane, std::size_t k) { return row(s->src[k])[lane]; });
    return next_;
}

template <class T>
std::size_t Warp<T>::operator()(const ReduceStore* s) {
    resolve(s->to, 1);
    store(s->to, s->src.size(), s->mode, 0, [&](int, std::size_t k) { return sum(s->src[k]); });
    return next_;
}

template <class T>
void Warp<T>::copy_to_shared(const CopyLanes& s) {
    const std::int64_t from = value(s.global_base), to = value(s.shared_base);
    for (std::int64_t n = 0; n < s.count; ++n) {
        const int lane = static_cast<int>(n / s.vector % lanes_);
        const SharedAccess access{s.shared, to + n, some_lane};
        shared_.check_write(site_, access);
        words_[shared_.write(site_, access, false)] = global_.get<T>(site_, s.global, from + n, lane);
    }
}

template <class T>
void Warp<T>::copy_to_global(const CopyLanes& s) {
    const std::int64_t from = value(s.shared_base), to = value(s.global_base);
    for (std::int64_t n = 0; n < s.count; ++n) {
        const int lane = static_cast<int>(n % lanes_);
        const T v = words_[shared_.read(site_, {s.shared, from + n, lane})];
        global_.put(site_, s.global, to + n, v, s.mode, writer_, lane);
    }
}

template <class T>
std::size_t Warp<T>::operator()(const CopyLanes* s) {
    s->to_shared ? copy_to_shared(*s) : copy_to_global(*s);
    return next_;
}

/// An integer as wide as a shared word.
template <class T>
using Bits = std::conditional_t<sizeof(T) == sizeof(std::int32_t), std::int32_t, std::int64_t>;

template <class T>
std::size_t Warp<T>::operator()(const IntPut* s) {
    const SharedAccess to{s->shared, value(s->at), some_lane};
    shared_.check_write(site_, to);
    words_[shared_.write(site_, to, false)] = std::bit_cast<T>(static_cast<Bits<T>>(integer(s->value)));
    return next_;
}

template <class T>
std::size_t Warp<T>::operator()(const IntGet* s) {
    const T word = words_[shared_.read(site_, {s->shared, value(s->at), some_lane})];
    return set(s->var, std::bit_cast<Bits<T>>(word));
}

/// The word that holds elements from `first` on.
template <class T>
T Warp<T>::copied_word(const AsyncCopy& s, std::int64_t first, int lane) {
    const DType dtype = site_.kernel->buffers[static_cast<std::size_t>(s.global)].dtype;
    if (!is_storage_only(dtype)) return global_.get<T>(site_, s.global, first, lane);
    StoredWord<T> halves;
    for (std::size_t i = 0; i < halves.size(); ++i)
        halves[i] = to_storage(static_cast<float>(global_.get<T>(site_, s.global, first + static_cast<std::int64_t>(i), lane)), dtype);
    return std::bit_cast<T>(halves);
}

/// The data is there at once; only StageWait lets lanes read it.
template <class T>
std::size_t Warp<T>::operator()(const AsyncCopy* s) {
    shared_.check_copy_allowed(site_);
    const std::int64_t from = value(s->global_base), to = value(s->shared_base);
    const auto size = static_cast<std::int64_t>(size_of(site_.kernel->buffers[static_cast<std::size_t>(s->global)].dtype));
    const std::int64_t in_a_word = static_cast<std::int64_t>(sizeof(T)) / size;
    for (std::int64_t n = 0; n < s->count; n += in_a_word) {
        const int lane = s->bulk ? some_lane : static_cast<int>(n / s->vector % lanes_);
        words_[shared_.async_write(site_, {s->shared, to + n / in_a_word, lane})] = copied_word(*s, from + n, lane);
    }
    if (s->bulk) shared_.count_bulk_bytes(s->count * size);
    return next_;
}

template <class T>
std::size_t Warp<T>::operator()(const BulkReduce* s) {
    shared_.sync();
    shared_.bulk_begin();
    const std::int64_t from = value(s->shared_base), to = value(s->global_base);
    for (std::int64_t n = 0; n < s->count; ++n) {
        const T v = words_[shared_.bulk_read(site_, {s->shared, from + n, some_lane})];
        global_.put(site_, s->global, to + n, v, s->mode, writer_, some_lane);
    }
    if (s->pending >= 0) shared_.bulk_wait(s->pending);
    return next_;
}

template std::size_t Warp<float>::operator()(const Load*);
template std::size_t Warp<float>::operator()(const Store*);
template std::size_t Warp<float>::operator()(const LaneSum*);
template std::size_t Warp<float>::operator()(const LaneGet*);
template std::size_t Warp<float>::operator()(const SpreadSums*);
template std::size_t Warp<float>::operator()(const ReduceStore*);
template std::size_t Warp<float>::operator()(const CopyLanes*);
template std::size_t Warp<float>::operator()(const IntPut*);
template std::size_t Warp<float>::operator()(const IntGet*);
template std::size_t Warp<float>::operator()(const AsyncCopy*);
template std::size_t Warp<float>::operator()(const BulkReduce*);
template std::size_t Warp<double>::operator()(const Load*);
template std::size_t Warp<double>::operator()(const Store*);
template std::size_t Warp<double>::operator()(const LaneSum*);
template std::size_t Warp<double>::operator()(const LaneGet*);
template std::size_t Warp<double>::operator()(const SpreadSums*);
template std::size_t Warp<double>::operator()(const ReduceStore*);
template std::size_t Warp<double>::operator()(const CopyLanes*);
template std::size_t Warp<double>::operator()(const IntPut*);
template std::size_t Warp<double>::operator()(const IntGet*);
template std::size_t Warp<double>::operator()(const AsyncCopy*);
template std::size_t Warp<double>::operator()(const BulkReduce*);

}  // namespace flashtp::interpreter
