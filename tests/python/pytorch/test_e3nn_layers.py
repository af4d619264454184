"""Layers around tensor products: e3nn's results, and derivatives of any order."""
import pytest
import torch
from e3nn import o3
from e3nn.nn import Gate
from torch.autograd import gradcheck, gradgradcheck

import flashtp
from flashtp.integrations import e3nn_layers
from flashtp.integrations.e3nn_harmonics import Harmonics

needs_direct_calls = pytest.mark.skipif(flashtp._library.FAST_CALL is None, reason="this build has no direct calls")
# One path a segment; segments that no path goes to or comes from; several paths to and from a segment.
LAYERS = {"square": ("3x0e+2x1o+2x2e", "2x0e+3x1o+1x2e"), "zeros": ("3x0e+2x1o", "2x2e+2x0e+1x3o"), "sums": ("2x1o+3x0e+1x1o", "2x1o+1x0e+2x1o")}


@pytest.fixture(params=LAYERS)
def layer(request):
    made = e3nn_layers.Linear(*LAYERS[request.param]).double()
    with torch.no_grad():
        made.weight.normal_()
    return made


def rows_of(layer, count=4):
    return torch.randn(count, layer.irreps_in.dim, dtype=torch.float64, requires_grad=True)


def function_of(layer):
    return lambda x, weight: e3nn_layers.linear(x, weight, layer.layout)


@needs_direct_calls
@pytest.mark.parametrize("count", (4, 1, 0))
def test_a_linear_layer_gives_what_e3nns_gives(layer, count):
    x = rows_of(layer, count)
    torch.testing.assert_close(function_of(layer)(x, layer.weight), o3.Linear.forward(layer, x))
    wide = torch.randn(2 * layer.irreps_in.dim, count, dtype=torch.float64).t()[:, ::2]
    torch.testing.assert_close(layer(wide), o3.Linear.forward(layer, wide))


@needs_direct_calls
def test_derivatives_of_linear_layers(layer):
    inputs = rows_of(layer), layer.weight
    assert gradcheck(function_of(layer), inputs) and gradgradcheck(function_of(layer), inputs)

    def gradients(x, weight):
        return torch.autograd.grad(function_of(layer)(x, weight).square().sum(), (x, weight), create_graph=True)

    assert gradgradcheck(gradients, inputs)


@needs_direct_calls
def test_derivatives_of_silu():
    x = torch.randn(20, dtype=torch.float64, requires_grad=True)
    assert torch.equal(e3nn_layers.silu(x), torch.nn.functional.silu(x))

    def gradient(x):
        return torch.autograd.grad(e3nn_layers.silu(x).sum(), x, create_graph=True)[0]

    assert gradcheck(e3nn_layers.silu, x) and gradcheck(gradient, x) and gradgradcheck(gradient, x)


@needs_direct_calls
def test_gradients_under_vmap_are_an_error(layer):
    x = rows_of(layer)
    with pytest.raises(NotImplementedError, match="only_convolutions"):
        torch.autograd.grad(layer(x), x, torch.ones(3, 4, layer.irreps_out.dim, dtype=torch.float64), is_grads_batched=True)


def test_other_uses_are_e3nns(layer):
    x = rows_of(layer)
    expected = o3.Linear.forward(layer, x)
    torch.testing.assert_close(layer(x.view(2, 2, -1)).view(4, -1), expected)
    torch.testing.assert_close(torch.func.vmap(layer)(x), expected)
    torch.testing.assert_close(layer(x, layer.weight), expected)
    with pytest.raises((RuntimeError, ValueError, AssertionError)):
        layer(x[:, 1:])


@pytest.mark.parametrize("lmax", (1, 2, 4))
def test_harmonics(lmax):
    """And their first and second derivatives."""
    vectors = torch.randn(6, 3, dtype=torch.float64, requires_grad=True)
    found = []
    for function in (Harmonics(lmax), lambda v: o3.spherical_harmonics(list(range(lmax + 1)), v, False, "component")):
        values = function(vectors / vectors.norm(dim=1, keepdim=True))
        first, = torch.autograd.grad(values.pow(3).sum(), vectors, create_graph=True)
        found.append((values, first, *torch.autograd.grad(first.square().sum(), vectors)))
    torch.testing.assert_close(found[0], found[1])


@pytest.mark.parametrize("scalars, act, gates, gated", (("3x0e", ["silu"], "2x0e+1x0e", "2x1o+1x2e"),
                                                         ("1x0o+2x0e", ["tanh", "silu"], "3x0e", "3x1o"), ("3x0e", ["tanh"], "", "")))
def test_gates(scalars, act, gates, gated):
    """The same numbers and gradients; factors of activations are in float32."""
    functions = {"silu": torch.nn.functional.silu, "tanh": torch.tanh}
    theirs = Gate(scalars, [functions[name] for name in act], gates, [torch.sigmoid] * len(o3.Irreps(gates)), gated)
    assert e3nn_layers.Gate.can_replace(theirs)
    ours = e3nn_layers.Gate(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    x, found = torch.randn(5, theirs.irreps_in.dim, requires_grad=True), []
    for gate in (ours, theirs):
        first, = torch.autograd.grad(gate(x).pow(3).sum(), x, create_graph=True)
        found.append((gate(x), first, *torch.autograd.grad(first.square().sum(), x)))
    torch.testing.assert_close(found[0], found[1], rtol=1e-4, atol=1e-5)
