#include "codegen/llvm_lanes.hpp"

#include <bit>
#include <map>

namespace flashtp::llvm_text {
namespace {

// Interleaving. Let s be the odd number of components and L the number of lanes, a power of two. Memory element p = lane * s +
// component sits in vector p / L at slot p mod L. Because s is odd, the L elements of one component have L different slots, so a
// component is a blend of vectors followed by one permutation. At slot q the component k comes from the vector v with
// L * v + q = k (mod s), which depends on k - q only: with u(j) = j / L (mod s), component k is the diagonal
// u(k), u(k - 1), u(k - 2), ... over the slots. Diagonals are built for all components together like a barrel shifter: stage t
// takes the slots with bit t set from the neighbour 2^t away, so log2 L blends a component are enough.

int inverse_modulo(int value, int modulus) {
    for (int x = 1; x < modulus; ++x)
        if (value * x % modulus == 1) return x;
    return 0;  // modulus 1
}

int wrap(int value, int modulus) { return ((value % modulus) + modulus) % modulus; }

/// Builds diagonal(j): the vector whose slot q is slot q of source (j + direction * q) mod count. Shares common stages.
class Diagonals {
  public:
    Diagonals(const Elements& elements, int lanes, int direction, std::vector<Name> sources)
        : elements_(elements), lanes_(lanes), direction_(direction), sources_(std::move(sources)) {}

    Name operator()(int j) {
        const int stages = std::countr_zero(static_cast<unsigned>(lanes_));
        // Three sources take two blends each without sharing; more of them would cost more than the shifter.
        return count() <= 3 && count() - 1 < stages ? direct(wrap(j, count())) : stage(stages, wrap(j, count()));
    }

  private:
    int count() const { return static_cast<int>(sources_.size()); }

    Name direct(int j) {
        Name result = sources_[j];
        for (int other = 1; other < count(); ++other)
            result =
                blend(result, sources_[wrap(j + direction_ * other, count())], [&](int slot) { return slot % count() == other; });
        return result;
    }

    Name stage(int stages, int j) {
        if (stages == 0) return sources_[j];
        const auto [known, inserted] = done_.try_emplace({stages, j});
        if (!inserted) return known->second;
        const int distance = 1 << (stages - 1);
        const Name own = stage(stages - 1, j);
        const Name other = stage(stages - 1, wrap(j + direction_ * distance, count()));
        return done_[{stages, j}] = blend(own, other, [&](int slot) { return (slot & distance) != 0; });
    }

    template <class Predicate>
    Name blend(const Name& a, const Name& b, Predicate take_b) {
        if (a == b) return a;
        std::vector<int> mask(lanes_);
        for (int slot = 0; slot < lanes_; ++slot) mask[slot] = take_b(slot) ? lanes_ + slot : slot;
        return elements_.shuffle(a, b, lanes_, mask);
    }

    const Elements& elements_;
    int lanes_, direction_;
    std::vector<Name> sources_;
    std::map<std::pair<int, int>, Name> done_;
};

/// One permutation. LLVM would merge it with the blend before; for eight floats, of which AVX2 has no permutation of two vectors,
/// it then takes two or three instructions for the pair of them.
Name permute(const Elements& elements, const Name& value, int lanes, const std::vector<int>& slots) {
    const bool two_blocks_of_four = lanes == 8 && elements.block() == 4;
    return elements.shuffle(two_blocks_of_four ? elements.fence(value, lanes) : value, "", lanes, slots);
}

}  // namespace

std::vector<Name> deinterleave(const Elements& elements, int lanes, int stride, const std::vector<Name>& memory,
                               const std::vector<bool>& wanted) {
    const int inverse = inverse_modulo(lanes % stride, stride);
    std::vector<Name> sources(stride);
    for (int j = 0; j < stride; ++j) sources[j] = memory[j * inverse % stride];
    Diagonals diagonal(elements, lanes, -1, std::move(sources));
    std::vector<Name> components(wanted.size());
    for (int k = 0; k < static_cast<int>(wanted.size()); ++k) {
        if (!wanted[k]) continue;
        std::vector<int> slots(lanes);
        for (int lane = 0; lane < lanes; ++lane) slots[lane] = (lane * stride + k) % lanes;
        components[k] = stride == 1 ? memory[0] : permute(elements, diagonal(k), lanes, slots);
    }
    return components;
}

std::vector<Name> interleave(const Elements& elements, int lanes, const std::vector<Name>& components) {
    const int stride = static_cast<int>(components.size());
    if (stride == 1) return components;
    std::vector<Name> sources(stride);
    for (int k = 0; k < stride; ++k) {
        std::vector<int> lane_at(lanes);
        for (int lane = 0; lane < lanes; ++lane) lane_at[(lane * stride + k) % lanes] = lane;
        sources[k] = elements.shuffle(components[k], "", lanes, lane_at);
    }
    Diagonals diagonal(elements, lanes, 1, std::move(sources));
    std::vector<Name> memory(stride);
    for (int v = 0; v < stride; ++v) memory[v] = diagonal(lanes * v);
    return memory;
}

void transpose_blocks(const Elements& elements, int lanes, std::vector<Name>& rows) {
    const int size = static_cast<int>(rows.size());
    for (int h = size / 2; h >= 1; h /= 2) {
        std::vector<int> low(lanes), high(lanes);
        for (int slot = 0; slot < lanes; ++slot) {
            const bool second = (slot & h) != 0;
            low[slot] = second ? lanes + (slot ^ h) : slot;
            high[slot] = second ? lanes + slot : slot ^ h;
        }
        for (int i = 0; i < size; ++i) {
            if ((i & h) != 0) continue;
            const Name a = rows[i], b = rows[i | h];
            rows[i] = elements.shuffle(a, b, lanes, low);
            rows[i | h] = elements.shuffle(a, b, lanes, high);
        }
    }
}

namespace {

/// Two masks whose shuffles of (a, b) add up to one stage of lane sums.
struct SumStage {
    std::vector<int> first, second;
};

/// Slots with bit h clear keep a, those with it set b; each receives the partner slot's value.
SumStage exchange(int lanes, int h) {
    SumStage stage{std::vector<int>(lanes), std::vector<int>(lanes)};
    for (int slot = 0; slot < lanes; ++slot) {
        const int from = (slot & h) != 0 ? lanes : 0;
        stage.first[slot] = from + slot;
        stage.second[slot] = from + (slot ^ h);
    }
    return stage;
}

/// Adds neighbours. Within four elements the results are a, a, b, b: one shuffle a mask on every target.
SumStage neighbours(int lanes, int block) {
    SumStage stage{std::vector<int>(lanes), std::vector<int>(lanes)};
    for (int slot = 0; slot < lanes; ++slot) {
        const int base = slot / block * block, within = slot % block;
        const int from = within >= block / 2 ? lanes : 0;
        const int pair = within % (block / 2) * 2;
        stage.first[slot] = from + base + pair;
        stage.second[slot] = from + base + pair + 1;
    }
    return stage;
}

void without_second(std::vector<int>& mask, int lanes) {
    for (int& index : mask) index %= lanes;
}

Name combine(const Elements& elements, int lanes, const Name& a, const Name& b, SumStage stage) {
    if (b.empty()) {
        without_second(stage.first, lanes);
        without_second(stage.second, lanes);
    }
    const Name first = elements.shuffle(a, b, lanes, stage.first);
    return elements.add(first, elements.shuffle(a, b, lanes, stage.second), lanes);
}

}  // namespace

Name lane_sums(const Elements& elements, int lanes, std::span<const Name> values) {
    std::vector<Name> partial(values.begin(), values.end());
    partial.resize(lanes);
    const auto run = [&](const SumStage& stage, int bit) {
        for (int i = 0; i < lanes; ++i)
            if ((i & bit) == 0 && !partial[i].empty()) partial[i] = combine(elements, lanes, partial[i], partial[i | bit], stage);
        for (int i = 0; i < lanes; ++i)
            if ((i & bit) != 0) partial[i].clear();
    };
    // The last stage moves bit 1 of a slot to bit 0 (blocks of four), hence the bits that the last two stages pair by.
    const int block = std::min(lanes, elements.block());
    for (int h = lanes / 2; h >= 2; h /= 2) run(exchange(lanes, h), h == 2 && block == 4 ? 1 : h);
    if (lanes > 1) run(neighbours(lanes, block), block == 4 ? 2 : 1);
    return partial[0];
}

}  // namespace flashtp::llvm_text
