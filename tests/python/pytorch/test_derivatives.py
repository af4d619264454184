"""Derivatives against differences of values, and path by path."""
import pytest
import torch
from layers import MESSAGE, MODES, Edges, Layer, Pair, assert_close
from torch.autograd import gradcheck, gradgradcheck

import flashtp


def small_pair(mode, shared):
    return Pair(MODES[mode], Edges.random(4, 2, 3), shared_weights=shared)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("shared", (False, True))
def test_convolutions(mode, shared):
    pair = small_pair(mode, shared)
    assert gradcheck(pair.ours, pair.inputs())
    assert gradgradcheck(pair.ours, pair.inputs())


@pytest.mark.parametrize("mode", MODES)
def test_plain_products(mode):
    module = flashtp.TensorProduct(*MODES[mode], shared_weights=False)
    inputs = [torch.randn(2, width, requires_grad=True) for width in (module.irreps_in1.dim, module.irreps_in2.dim, module.weight_numel)]
    inputs = inputs if module.weight_numel else inputs[:2]
    assert gradcheck(module, inputs)
    assert gradgradcheck(module, inputs)


@pytest.mark.parametrize("mode", MODES)
def test_third_derivatives(mode):
    """Along random directions: d/dt of second derivatives at inputs + t * direction, by central differences. They are polynomials of
    degree 2 in t at most (the product is trilinear, and the cubic loss takes it to the third power), so a small step is exact but for
    rounding and terms of order step^2."""
    pair = small_pair(mode, False)
    inputs = [t.detach() for t in pair.inputs()]
    directions, first, second = ([torch.randn_like(t) for t in inputs] for _ in range(3))

    def along(values, vectors):
        return sum((v * d).sum() for v, d in zip(values, vectors))

    def second_derivative(at):
        leaves = [t.clone().requires_grad_() for t in at]
        once = torch.autograd.grad(pair.ours(*leaves).pow(3).sum(), leaves, create_graph=True)
        twice = torch.autograd.grad(along(once, first), leaves, create_graph=True)
        return leaves, along(twice, second)

    leaves, value = second_derivative(inputs)
    exact = along(torch.autograd.grad(value, leaves), directions)
    step = 1e-4
    ahead, behind = (second_derivative([t + s * d for t, d in zip(inputs, directions)])[1] for s in (step, -step))
    difference = (ahead - behind) / (2 * step)
    assert torch.allclose(exact, difference, rtol=1e-5, atol=1e-5 * float(value.detach().abs())), (exact, difference)


@pytest.mark.parametrize("layer", (MESSAGE, MODES["mixed"]), ids=("message", "mixed"))
def test_gradients_path_by_path(layer):
    """The gradient of each path's weights is that of a product of this path alone: an error of one path cannot hide behind larger
    ones. Normalisation counts all paths, so it is left out."""
    edges = Edges.random()
    whole = Pair(layer, edges, path_normalization="none")
    x, y, w = whole.inputs()
    cotangent = torch.randn(edges.receivers, whole.tp.irreps_out.dim)
    gradient, = torch.autograd.grad(whole.ours(x, y, w), w, cotangent)
    views = list(flashtp.TensorProduct(*layer, shared_weights=False).weight_views(w, yield_instruction=True))
    gradients = list(flashtp.TensorProduct(*layer, shared_weights=False).weight_views(gradient))
    assert len(views) == sum(path[4] for path in layer.instructions)
    for (number, _, view), found in zip(views, gradients):
        alone = Pair(Layer(*layer[:3], [layer.instructions[number]]), edges, path_normalization="none")
        alone.tp = type(alone.tp)(*layer[:3], [layer.instructions[number]], path_normalization="none", internal_weights=False,
                                  shared_weights=False)
        leaf = view.detach().reshape(len(view), -1).requires_grad_()
        expected, = torch.autograd.grad(alone.e3nns(x.detach(), y.detach(), leaf), leaf, cotangent)
        assert_close([found.reshape(len(found), -1)], [expected])
