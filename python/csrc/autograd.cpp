// Derivatives of the operator in C++. It uses torch's unstable ABI and is built for one torch version; Python loads it only where
// it fits, and registers its own derivatives (derivatives.py) otherwise, so there is never more than one.
//
// The gradient of order n is order n + 1 with the incoming gradients as further operands.
#include <ATen/FuncTorchTLS.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <algorithm>

#include "names.hpp"

namespace flashtp::torch_operators {
namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct Request {
    std::string problem;
    std::int64_t order, outputs, absent;
};

std::vector<Tensor> run(at::TensorList operands, at::TensorList index, const Request& request) {
    using Signature =
        std::vector<Tensor>(at::TensorList, at::TensorList, c10::string_view, std::int64_t, std::int64_t, std::int64_t);
    static const auto operation =
        c10::Dispatcher::singleton().findSchemaOrThrow("flashtp::tensor_product", "").typed<Signature>();
    return operation.call(operands, index, request.problem, request.order, request.outputs, request.absent);
}

/// What order n + 1 computes the gradients of order n with, and where they go.
struct Gradient {
    variable_list operands;
    Request request;
    std::vector<std::size_t> inputs;  ///< positions among the operands of order n, by output
};

/// Adds the gradients that came in; undefined ones are zero, which the next order is told.
void add_cotangents(Gradient& gradient, const variable_list& incoming, const Request& given) {
    const auto names = outputs_of(static_cast<int>(given.order));
    const bool weighted = is_weighted(static_cast<int>(given.order), given.absent, gradient.operands.size());
    const std::size_t known = given.order < 2 ? 0 : input_counts[2] - first_optional_input;
    std::size_t next = 0;
    for (std::size_t bit = 0; bit < names.size(); ++bit) {
        const bool there = has_bit(given.outputs, bit) && incoming[next++].defined();
        if (there) gradient.operands.push_back(incoming[next - 1]);
        const bool may_be_absent = given.order > 0 && (weighted || !names[bit].ends_with('w'));
        if (!there && may_be_absent) gradient.request.absent |= std::int64_t{1} << (known + bit);
    }
}

template <class NeedsGradient>
void choose_outputs(Gradient& gradient, const Request& given, NeedsGradient needs) {
    const auto present = present_inputs(static_cast<int>(given.order), given.absent, gradient.operands.size());
    std::vector<std::pair<std::size_t, std::size_t>> wanted;
    for (std::size_t i = 0; i < present.size(); ++i)
        if (needs(i)) wanted.emplace_back(gradient_bit(static_cast<int>(given.order), present[i]), i);
    std::sort(wanted.begin(), wanted.end());
    for (const auto& [bit, input] : wanted) {
        gradient.request.outputs |= std::int64_t{1} << bit;
        gradient.inputs.push_back(input);
    }
}

class TensorProduct : public torch::autograd::Function<TensorProduct> {
  public:
    static variable_list forward(AutogradContext* context, at::TensorList operands, at::TensorList index, std::string problem,
                                 std::int64_t order, std::int64_t outputs, std::int64_t absent) {
        const at::AutoDispatchBelowADInplaceOrView below;
        variable_list saved(operands.begin(), operands.end());
        saved.insert(saved.end(), index.begin(), index.end());
        context->save_for_backward(std::move(saved));
        context->set_materialize_grads(false);
        context->saved_data["numbers"] =
            std::vector<std::int64_t>{order, outputs, absent, static_cast<std::int64_t>(operands.size())};
        context->saved_data["problem"] = problem;
        return run(operands, index, {std::move(problem), order, outputs, absent});
    }

    static variable_list backward(AutogradContext* context, const variable_list& incoming) {
        const variable_list saved = context->get_saved_variables();
        const auto numbers = context->saved_data["numbers"].toIntVector();
        const Request given{context->saved_data["problem"].toStringRef(), numbers[0], numbers[1], numbers[2]};
        TORCH_CHECK(given.order < highest_order, "flashtp: fourth derivatives of tensor products are not available");
        const auto operands = saved.begin() + numbers[3];
        Gradient gradient{{saved.begin(), operands}, {given.problem, given.order + 1, 0, given.absent}, {}};
        constexpr std::size_t other_arguments = 4;
        variable_list results(saved.size() + other_arguments);
        const bool all_zero = std::none_of(incoming.begin(), incoming.end(), [](const Tensor& g) { return g.defined(); });
        choose_outputs(gradient, given, [&](std::size_t i) { return context->needs_input_grad(i); });
        if (all_zero || gradient.inputs.empty()) return results;
        add_cotangents(gradient, incoming, given);
        std::vector<Tensor> found = run(gradient.operands, variable_list(operands, saved.end()), gradient.request);
        for (std::size_t i = 0; i < found.size(); ++i) results[gradient.inputs[i]] = std::move(found[i]);
        return results;
    }
};

/// Whether reverse mode, forward mode or a torch.func transform looks on; the last two are refused by Function.
bool is_differentiated(at::TensorList operands) {
    if (at::functorch::functorchTLSAccessor()) return true;
    return std::any_of(operands.begin(), operands.end(), [](const Tensor& t) {
        return (at::GradMode::is_enabled() && t.requires_grad()) || t._fw_grad(0).defined();
    });
}

std::vector<Tensor> tensor_product(at::TensorList operands, at::TensorList index, c10::string_view problem, std::int64_t order,
                                   std::int64_t outputs, std::int64_t absent) {
    if (!is_differentiated(operands)) {
        const at::AutoDispatchBelowADInplaceOrView below;
        return run(operands, index, {std::string(problem), order, outputs, absent});
    }
    return TensorProduct::apply(operands, index, std::string(problem), order, outputs, absent);
}

}  // namespace
}  // namespace flashtp::torch_operators

TORCH_LIBRARY_IMPL(flashtp, Autograd, library) { library.impl("tensor_product", flashtp::torch_operators::tensor_product); }
