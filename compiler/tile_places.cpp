#include "compiler/tile_places.hpp"

#include <algorithm>

namespace flashtp {

namespace {

bool loads_from(const Block& block, BufferId buffer) {
    return std::ranges::any_of(block, [&](const KernelStatement& s) {
        if (const auto* loop = std::get_if<For>(&s.node)) return loads_from(loop->body, buffer);
        if (const auto* branch = std::get_if<If>(&s.node)) return loads_from(branch->body, buffer);
        const auto* load = std::get_if<Load>(&s.node);
        return load && load->from.place == Place::global && load->from.buffer == buffer;
    });
}

class TilePlaces {
  public:
    explicit TilePlaces(const std::vector<Kernel>& kernels) : kernels_(kernels) {}

    /// The convolution reads it through its ring alone, and nothing behind it does.
    bool is_given(const Operand& tile) const {
        bool given = false;
        for (const Kernel& kernel : kernels_) {
            const Buffer* const buffer = find(kernel, tile);
            if (!buffer || buffer->operand->role == Role::output) continue;
            if (!convolves(kernel) || loads_directly(kernel, *buffer)) return false;
            given = true;
        }
        return given;
    }

    /// The convolution stores it, all of it, once.
    bool is_stored(const Operand& tile) const {
        return std::ranges::any_of(kernels_, [&](const Kernel& kernel) {
            const Buffer* const buffer = find(kernel, tile);
            return buffer && convolves(kernel) && buffer->operand->role == Role::output && !buffer->zeroed && !buffer->shared_rows;
        });
    }

  private:
    static bool convolves(const Kernel& kernel) { return kernel.windows && kernel.receiver_rows; }
    static const Buffer* find(const Kernel& kernel, const Operand& tile) {
        const auto at = std::ranges::find(kernel.buffers, tile.name, &Buffer::name);
        return at == kernel.buffers.end() || !at->operand ? nullptr : &*at;
    }
    static bool loads_directly(const Kernel& kernel, const Buffer& buffer) {
        const auto id = static_cast<BufferId>(&buffer - kernel.buffers.data());
        return std::ranges::any_of(kernel.tasks, [&](const KernelTask& task) { return loads_from(task.body, id); });
    }

    const std::vector<Kernel>& kernels_;
};

}  // namespace

std::vector<std::size_t> tile_places(const std::vector<Kernel>& kernels, const std::vector<Operand>& tiles) {
    const TilePlaces uses(kernels);
    std::vector<std::size_t> places, given;
    for (std::size_t t = 0; t < tiles.size(); ++t) {
        places.push_back(t);
        if (uses.is_given(tiles[t])) given.push_back(t);
    }
    for (std::size_t t = 0; t < tiles.size(); ++t) {
        const auto same = std::ranges::find(given, tiles[t].width, [&](std::size_t g) { return tiles[g].width; });
        if (same == given.end() || !uses.is_stored(tiles[t])) continue;
        places[t] = *same;
        given.erase(same);
    }
    return places;
}

}  // namespace flashtp
