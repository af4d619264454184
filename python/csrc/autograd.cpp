// Derivatives of the operator in C++. It uses torch's unstable ABI and is built for one torch version; Python loads it only where
// it fits, and registers its own derivatives (derivatives.py) otherwise, so there is never more than one.
//
// The gradient of order n is order n + 1 with the incoming gradients as further operands.
#include "autograd.hpp"

#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/functorch/DynamicLayer.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/csrc/inductor/aoti_torch/utils.h>
#include <torch/library.h>

#include <algorithm>

#include "names.hpp"
#include "problems.hpp"
#include "run.hpp"

namespace flashtp::torch_operators {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

TensorView view_of(const at::Tensor& tensor) {
    return TensorView(torch::aot_inductor::tensor_pointer_to_tensor_handle(const_cast<at::Tensor*>(&tensor)));
}

/// The kernel itself.
variable_list run_kernel(at::TensorList operands, at::TensorList index, const Request& request) {
    c10::SmallVector<TensorView, 16> views, index_views;
    for (const at::Tensor& t : operands) views.push_back(view_of(t));
    for (const at::Tensor& t : index) index_views.push_back(view_of(t));
    variable_list outputs;
    for (const Tensor& t : run_request(request, {views.data(), views.size()}, {index_views.data(), index_views.size()}))
        outputs.push_back(*torch::aot_inductor::tensor_handle_to_tensor_pointer(t.get()));
    return outputs;
}

variable_list dispatch(at::TensorList operands, at::TensorList index, const Request& request) {
    using Signature = variable_list(at::TensorList, at::TensorList, c10::string_view, std::int64_t, std::int64_t, std::int64_t);
    static const auto operation =
        c10::Dispatcher::singleton().findSchemaOrThrow("flashtp::tensor_product", "").typed<Signature>();
    return operation.call(operands, index, problem_text(request.problem), request.order, request.outputs, request.absent);
}

variable_list below_autograd(at::TensorList operands, at::TensorList index, const Request& request) {
    const at::AutoDispatchBelowADInplaceOrView below;
    return is_plain(operands) ? run_kernel(operands, index, request) : dispatch(operands, index, request);
}

/// What order n + 1 computes the gradients of order n with, and where they go.
struct Gradient {
    variable_list operands;
    Request request;
    std::vector<std::size_t> inputs;  ///< positions among the operands of order n, by output
};

/// Adds the gradients that came in; undefined ones are zero, which the next order is told.
void add_cotangents(Gradient& gradient, const variable_list& incoming, const Request& given) {
    const auto order = static_cast<int>(given.order);
    const std::size_t sources = source_count(order, given.absent, gradient.operands.size());
    const std::size_t known = order < 2 ? 0 : sources;
    std::size_t next = 0;
    for (std::size_t bit = 0; bit < names_of(order, sources).outputs.size(); ++bit) {
        const bool there = has_bit(given.outputs, bit) && incoming[next++].defined();
        if (there) gradient.operands.push_back(incoming[next - 1]);
        if (!there && order > 0) gradient.request.absent |= std::int64_t{1} << (known + bit);
    }
}

template <class NeedsGradient>
void choose_outputs(Gradient& gradient, const Request& given, NeedsGradient needs) {
    const auto order = static_cast<int>(given.order);
    const std::size_t sources = source_count(order, given.absent, gradient.operands.size());
    const auto present = present_inputs(names_of(order, sources), given.absent);
    std::vector<std::pair<std::size_t, std::size_t>> wanted;
    for (std::size_t i = 0; i < present.size(); ++i)
        if (needs(i)) wanted.emplace_back(gradient_bit(order, present[i], sources), i);
    std::sort(wanted.begin(), wanted.end());
    for (const auto& [bit, input] : wanted) {
        gradient.request.outputs |= std::int64_t{1} << bit;
        gradient.inputs.push_back(input);
    }
}

class TensorProduct : public torch::autograd::Function<TensorProduct> {
  public:
    static variable_list forward(AutogradContext* context, at::TensorList operands, at::TensorList index,
                                 const Request& request) {
        variable_list saved(operands.begin(), operands.end());
        saved.insert(saved.end(), index.begin(), index.end());
        context->save_for_backward(std::move(saved));
        context->set_materialize_grads(false);
        context->saved_data["numbers"] = std::vector<std::int64_t>{request.problem, request.order, request.outputs,
                                                                   request.absent, static_cast<std::int64_t>(operands.size())};
        return below_autograd(operands, index, request);
    }

    static variable_list backward(AutogradContext* context, const variable_list& incoming) {
        const variable_list saved = context->get_saved_variables();
        const auto numbers = context->saved_data["numbers"].toIntVector();
        const Request given{numbers[0], numbers[1], numbers[2], numbers[3]};
        TORCH_CHECK(given.order < highest_order, "flashtp: fourth derivatives of tensor products are not available");
        const auto operands = saved.begin() + numbers[4];
        Gradient gradient{{saved.begin(), operands}, {given.problem, given.order + 1, 0, given.absent}, {}};
        constexpr std::size_t other_arguments = 1;
        variable_list results(saved.size() + other_arguments);
        const bool all_zero = std::none_of(incoming.begin(), incoming.end(), [](const at::Tensor& g) { return g.defined(); });
        choose_outputs(gradient, given, [&](std::size_t i) { return context->needs_input_grad(i); });
        if (all_zero || gradient.inputs.empty()) return results;
        add_cotangents(gradient, incoming, given);
        variable_list found = tensor_product(gradient.operands, variable_list(operands, saved.end()), gradient.request);
        for (std::size_t i = 0; i < found.size(); ++i) results[gradient.inputs[i]] = std::move(found[i]);
        return results;
    }
};

/// Whether reverse mode, forward mode or a torch.func transform looks on; the last two are refused by Function.
bool is_differentiated(at::TensorList operands) {
    if (!at::functorch::getDynamicLayerStack().empty()) return true;
    return std::any_of(operands.begin(), operands.end(), [](const at::Tensor& t) {
        return (at::GradMode::is_enabled() && t.requires_grad()) || t._fw_grad(0).defined();
    });
}

/// What the dispatcher calls.
variable_list registered(at::TensorList operands, at::TensorList index, c10::string_view problem, std::int64_t order,
                         std::int64_t outputs, std::int64_t absent) {
    const Request request{problem_number({problem.data(), problem.size()}), order, outputs, absent};
    return is_differentiated(operands) ? TensorProduct::apply(operands, index, request)
                                       : below_autograd(operands, index, request);
}

}  // namespace

bool is_plain(at::TensorList tensors) {
    c10::DispatchKeySet keys;
    for (const at::Tensor& t : tensors) keys = keys | t.key_set();
    const c10::impl::LocalDispatchKeySet local = c10::impl::tls_local_dispatch_key_set();
    const c10::DispatchKeySet autograds =
        c10::autograd_dispatch_keyset_with_ADInplaceOrView | c10::DispatchKeySet(c10::DispatchKey::BackendSelect);
    const auto first = (((keys | local.included_) - local.excluded_) - autograds).highestPriorityTypeId();
    return first == c10::DispatchKey::CPU || first == c10::DispatchKey::CUDA;
}

variable_list tensor_product(at::TensorList operands, at::TensorList index, const Request& request) {
    if (!is_plain(operands)) return dispatch(operands, index, request);
    return is_differentiated(operands) ? TensorProduct::apply(operands, index, request)
                                       : below_autograd(operands, index, request);
}

}  // namespace flashtp::torch_operators

TORCH_LIBRARY_IMPL(flashtp, Autograd, library) { library.impl("tensor_product", flashtp::torch_operators::registered); }
