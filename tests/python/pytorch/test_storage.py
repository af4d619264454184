"""Weights and harmonics of two bytes beside x of float32: the results are those of float32 for the same numbers."""
import pytest
import torch
from layers import MESSAGE, Edges

import flashtp

STORAGE = (torch.bfloat16, torch.float16)


def inputs_of(conv, edges, y_dtype, w_dtype, rows):
    def leaf(count, width, dtype):
        return torch.randn(count, width, dtype=torch.float32).to(dtype).requires_grad_()

    return (leaf(edges.senders, conv.irreps_in1.dim, torch.float32), leaf(len(edges.sender), conv.irreps_in2.dim, y_dtype),
            leaf(rows, conv.weight_numel, w_dtype))


def values_of(conv, edges, inputs):
    """z, its gradients, and the gradients of a function of these."""
    z = conv(*inputs, edges.receiver, edges.sender, edges.receivers)
    factors = torch.linspace(-1, 1, z.numel(), dtype=torch.float32).reshape(z.shape)
    gradients = torch.autograd.grad((z * factors).sum(), inputs, create_graph=True)
    again = torch.autograd.grad(sum((g.float() ** 2).sum() for g in gradients), inputs)
    return [z, *gradients, *again]


@pytest.mark.parametrize("w_dtype", (torch.float32, *STORAGE))
@pytest.mark.parametrize("y_dtype", (torch.float32, *STORAGE))
@pytest.mark.parametrize("shared", (False, True))
def test_results_are_those_of_float32(y_dtype, w_dtype, shared):
    edges = Edges.random(40, 7, 7)
    conv = flashtp.TensorProductConv(*MESSAGE, shared_weights=shared)
    stored = inputs_of(conv, edges, y_dtype, w_dtype, 1 if shared else 40)
    wide = [t.detach().float().requires_grad_() for t in stored]
    found, expected = values_of(conv, edges, stored), values_of(conv, edges, wide)
    types = [torch.float32, y_dtype, w_dtype]
    for value, exact, dtype in zip(found, expected, [torch.float32, *types, *types]):
        assert value.dtype == dtype
        # A second derivative goes through first ones that were rounded.
        eps = max(torch.finfo(t).eps for t in types)
        assert (value.float() - exact).norm() <= 2 * eps * exact.norm()


def test_it_can_be_traced():
    edges = Edges.random(40, 7, 7)
    conv = flashtp.TensorProductConv(*MESSAGE)
    stored = inputs_of(conv, edges, torch.float32, torch.bfloat16, 40)

    def energy(x, y, w):
        return conv(x, y, w, edges.receiver, edges.sender, edges.receivers).square().sum()

    compiled = torch.compile(energy, backend="aot_eager", fullgraph=True)
    for ours, eager in zip(torch.autograd.grad(compiled(*stored), stored), torch.autograd.grad(energy(*stored), stored)):
        assert ours.dtype == eager.dtype
        torch.testing.assert_close(ours, eager)


@pytest.mark.parametrize("x_dtype, w_dtype", ((torch.float64, torch.bfloat16), (torch.float32, torch.float64), (torch.bfloat16, torch.bfloat16)))
def test_other_combinations_are_errors(x_dtype, w_dtype):
    edges = Edges.random()
    conv = flashtp.TensorProductConv(*MESSAGE)
    x, y, w = inputs_of(conv, edges, x_dtype, w_dtype, 13)
    with pytest.raises(ValueError, match="float32"):
        conv(x.detach().to(x_dtype), y, w, edges.receiver, edges.sender, edges.receivers)
