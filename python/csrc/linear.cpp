// A linear layer is a trilinear form of features, weights and what its results are multiplied by: each of the three has a gradient that
// is a product of the other two, and so has each product. Calls of torch are few: arrays of scalars are multiplied where they lie,
// others are put component by component first, and factors go into the products.
#include "linear.hpp"

#include <ATen/ops/empty.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <algorithm>
#include <array>
#include <deque>
#include <mutex>

#include "autograd.hpp"
#include "tensors.hpp"

namespace flashtp::torch_operators {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

enum Role : std::int64_t { features, weights, results };
using Operands = std::array<at::Tensor, 3>;  ///< by role

/// Columns of an array of rows that a path reads or adds to.
struct Segment {
    std::int64_t offset, channels, components;

    /// [rows, components, channels] or, of scalars, [rows, channels]: no copy, and one call.
    at::Tensor of(const at::Tensor& rows) const {
        const std::int64_t row = rows.stride(0), column = rows.stride(1), first = rows.storage_offset() + offset * column;
        if (components == 1) return rows.as_strided({rows.size(0), channels}, {row, column}, first);
        return rows.as_strided({rows.size(0), components, channels}, {row, column, components * column}, first);
    }
    /// [rows * components, channels]
    at::Tensor columns(const at::Tensor& rows) const { return components == 1 ? of(rows) : of(rows).reshape({-1, channels}); }
};

Segment segment_of(const LinearPath& path, Role role) {
    return role == features ? Segment{path.in_offset, path.inputs, path.components}
                            : Segment{path.out_offset, path.outputs, path.components};
}

/// [inputs, outputs]
at::Tensor matrix_of(const at::Tensor& all, const LinearPath& path) {
    const std::int64_t step = all.stride(0);
    return all.as_strided({path.inputs, path.outputs}, {path.outputs * step, step},
                          all.storage_offset() + path.weight_offset * step);
}

/// Whether paths go to each column once, so that none needs to be zero before.
bool is_covered_once(const LinearLayout& layout, Role role) {
    std::vector<Segment> segments;
    for (const LinearPath& path : layout.paths) segments.push_back(segment_of(path, role));
    std::sort(segments.begin(), segments.end(), [](const Segment& a, const Segment& b) { return a.offset < b.offset; });
    std::int64_t end = 0;
    for (const Segment& segment : segments) {
        if (segment.offset != end) return false;
        end += segment.channels * segment.components;
    }
    return end == (role == features ? layout.in_width : layout.out_width);
}

/// Puts or adds `scale * left @ right`, rows of components, into a segment of `rows`.
void put_product(const at::Tensor& rows, const Segment& segment, const at::Tensor& left, const at::Tensor& right, double scale,
                 bool adds) {
    if (segment.components == 1) {
        segment.of(rows).addmm_(left, right, adds ? 1 : 0, scale);
        return;
    }
    at::Tensor product = at::empty({left.size(0), segment.channels}, rows.options());
    product.addmm_(left, right, 0, scale);
    const at::Tensor target = segment.of(rows);
    adds ? target.add_(product.view(target.sizes())) : target.copy_(product.view(target.sizes()));
}

/// Features from results, or results from features.
at::Tensor product_of_rows(const LinearLayout& layout, Role made, const Operands& operands) {
    const Role given = made == features ? results : features;
    const bool adds = !is_covered_once(layout, made);
    const std::array<std::int64_t, 2> sizes{operands[given].size(0), made == features ? layout.in_width : layout.out_width};
    const at::Tensor rows = at::empty(sizes, operands[given].options());
    if (rows.is_cpu()) prefer_large_pages(rows.data_ptr(), rows.nbytes());
    if (adds) rows.zero_();
    for (const LinearPath& path : layout.paths) {
        const at::Tensor matrix = matrix_of(operands[weights], path);
        put_product(rows, segment_of(path, made), segment_of(path, given).columns(operands[given]),
                    made == features ? matrix.t() : matrix, path.scale, adds);
    }
    return rows;
}

at::Tensor product_of_weights(const LinearLayout& layout, const Operands& operands) {
    const at::Tensor made = at::empty({layout.weight_count}, operands[features].options());
    for (const LinearPath& path : layout.paths)
        matrix_of(made, path)
            .addmm_(segment_of(path, features).columns(operands[features]).t(),
                    segment_of(path, results).columns(operands[results]), 0, path.scale);
    return made;
}

struct Layouts {
    std::mutex mutex;
    std::deque<LinearLayout> known;  // whose elements stay where they are
};

Layouts& layouts() {
    static Layouts all;
    return all;
}

const LinearLayout& layout_of(std::int64_t number) {
    const std::scoped_lock lock(layouts().mutex);
    return layouts().known.at(static_cast<std::size_t>(number));
}

at::Tensor product(std::int64_t layout, Role made, const Operands&);

at::Tensor product_below_autograd(std::int64_t number, Role made, const Operands& operands) {
    const at::AutoDispatchBelowADInplaceOrView below;
    const LinearLayout& layout = layout_of(number);
    return made == weights ? product_of_weights(layout, operands) : product_of_rows(layout, made, operands);
}

/// Where `made` was made of `first` and `second`, the others in the order of roles.
Operands by_role(Role made, const at::Tensor& first, const at::Tensor& second) {
    Operands operands;
    operands[made == features ? 1 : 0] = first;
    operands[made == results ? 1 : 2] = second;
    return operands;
}

class Product : public torch::autograd::Function<Product> {
  public:
    static at::Tensor forward(AutogradContext* context, const at::Tensor& first, const at::Tensor& second, std::int64_t layout,
                              std::int64_t made) {
        context->save_for_backward({first, second});
        context->saved_data["layout"] = layout;
        context->saved_data["made"] = made;
        return product_below_autograd(layout, static_cast<Role>(made), by_role(static_cast<Role>(made), first, second));
    }

    static variable_list backward(AutogradContext* context, const variable_list& incoming) {
        const variable_list saved = context->get_saved_variables();
        const auto made = static_cast<Role>(context->saved_data["made"].toInt());
        Operands operands = by_role(made, saved[0], saved[1]);
        operands[made] = incoming[0];
        variable_list gradients(4);
        std::size_t input = 0;
        for (const Role role : {features, weights, results}) {
            if (role == made) continue;
            if (context->needs_input_grad(input))
                gradients[input] = product(context->saved_data["layout"].toInt(), role, operands);
            ++input;
        }
        return gradients;
    }
};

/// The operand `made` of the two others.
at::Tensor product(std::int64_t layout, Role made, const Operands& operands) {
    const at::Tensor& first = operands[made == features ? 1 : 0];
    const at::Tensor& second = operands[made == results ? 1 : 2];
    TORCH_CHECK_NOT_IMPLEMENTED(is_plain(first) && is_plain(second), "flashtp: linear layers are not differentiated under vmap; "
                                                                     "replace convolutions only (only_convolutions=True)");
    if (at::GradMode::is_enabled() && (first.requires_grad() || second.requires_grad()))
        return Product::apply(first, second, layout, static_cast<std::int64_t>(made));
    return product_below_autograd(layout, made, operands);
}

void check(const LinearLayout& layout) {
    for (const LinearPath& p : layout.paths)
        TORCH_CHECK_VALUE(p.in_offset >= 0 && p.in_offset + p.inputs * p.components <= layout.in_width && p.out_offset >= 0 &&
                              p.out_offset + p.outputs * p.components <= layout.out_width && p.weight_offset >= 0 &&
                              p.weight_offset + p.inputs * p.outputs <= layout.weight_count,
                          "flashtp: a path of a linear layer leaves its arrays");
}

}  // namespace

std::int64_t layout_number(const LinearLayout& layout) {
    check(layout);
    const std::scoped_lock lock(layouts().mutex);
    auto& known = layouts().known;
    const auto found = std::find(known.begin(), known.end(), layout);
    const auto number = found - known.begin();
    if (found == known.end()) known.push_back(layout);
    return number;
}

at::Tensor linear(const at::Tensor& x, const at::Tensor& w, std::int64_t number) {
    const LinearLayout& layout = layout_of(number);
    TORCH_CHECK_VALUE(x.dim() == 2 && x.size(1) == layout.in_width, "flashtp: features have the shape ", x.sizes(),
                      "; it must be [rows, ", layout.in_width, "]");
    TORCH_CHECK_VALUE(w.numel() == layout.weight_count && w.dim() == 1, "flashtp: weights have the shape ", w.sizes(),
                      "; it must be [", layout.weight_count, "]");
    return product(number, results, {x, w, {}});
}

namespace {

/// paths: for each one the numbers of LinearPath.
std::int64_t numbered_layout(std::int64_t in_width, std::int64_t out_width, std::int64_t weight_count, at::IntArrayRef paths,
                             at::ArrayRef<double> scales) {
    constexpr std::size_t numbers = 6;
    TORCH_CHECK_VALUE(paths.size() == numbers * scales.size(), "flashtp: a path of a linear layer has six numbers and a scale");
    LinearLayout layout{in_width, out_width, weight_count, {}};
    for (std::size_t i = 0; i < scales.size(); ++i) {
        const auto p = paths.slice(numbers * i, numbers);
        layout.paths.push_back({p[0], p[1], p[2], p[3], p[4], p[5], scales[i]});
    }
    return layout_number(layout);
}

}  // namespace
}  // namespace flashtp::torch_operators

TORCH_LIBRARY_FRAGMENT(flashtp, library) {
    library.def("linear_layout(int in_width, int out_width, int weight_count, int[] paths, float[] scales) -> int",
                flashtp::torch_operators::numbered_layout);
}
