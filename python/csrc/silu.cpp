// Radial networks and gates of models that are trained on forces differentiate their activations twice. torch writes the derivative of
// silu as a formula where it is to be differentiated again; here each derivative is a function with one of its own.
#include "silu.hpp"

#include <ATen/Functions.h>
#include <torch/csrc/autograd/custom_function.h>

namespace flashtp::torch_operators {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/// `factor` times the second derivative, of torch's own calls: further derivatives are torch's.
at::Tensor times_second_derivative(const at::Tensor& factor, const at::Tensor& x) {
    const at::Tensor s = at::sigmoid(x);
    return at::sigmoid_backward(at::mul(factor, at::addcmul(at::add(x, 2), x, s, -2)), s);
}

class Derivative : public torch::autograd::Function<Derivative> {
  public:
    static at::Tensor forward(AutogradContext* context, const at::Tensor& gradient, const at::Tensor& x) {
        context->save_for_backward({gradient, x});
        const at::AutoDispatchBelowADInplaceOrView below;
        return at::silu_backward(gradient, x);
    }

    static variable_list backward(AutogradContext* context, const variable_list& incoming) {
        const variable_list saved = context->get_saved_variables();
        const at::Tensor &gradient = saved[0], &x = saved[1];
        variable_list gradients(2);
        if (context->needs_input_grad(0)) gradients[0] = Derivative::apply(incoming[0], x);
        if (context->needs_input_grad(1)) gradients[1] = times_second_derivative(at::mul(incoming[0], gradient), x);
        return gradients;
    }
};

class Silu : public torch::autograd::Function<Silu> {
  public:
    static at::Tensor forward(AutogradContext* context, const at::Tensor& x) {
        context->save_for_backward({x});
        const at::AutoDispatchBelowADInplaceOrView below;
        return at::silu(x);
    }

    static variable_list backward(AutogradContext* context, const variable_list& incoming) {
        return {Derivative::apply(incoming[0], context->get_saved_variables()[0])};
    }
};

}  // namespace

at::Tensor silu(const at::Tensor& x) { return Silu::apply(x); }

}  // namespace flashtp::torch_operators
