"""Convolutions whose weights a radial layer makes: equal to those that are given w = scale * h @ W2 + b, in every derivative."""
import io
from types import SimpleNamespace

import flashtp
import pytest
import torch
from flashtp.integrations.radial import is_fused

SIZES = ("4x0e+3x1o", "0e+1o", "4x0e+3x1o+3x1o")
INSTRUCTIONS = [(0, 0, 0, "uvu", True), (0, 1, 1, "uvw", True), (1, 0, 2, "uvu", True), (1, 1, 0, "uvw", True)]
EDGES, NODES, RECEIVERS = 11, 5, 4


def modules(hidden, bias, scale=0.3, **options):
    radial = {"hidden": hidden, "scale": scale, "bias": bias}
    return (flashtp.TensorProductConv(*SIZES, INSTRUCTIONS, radial=radial, **options),
            flashtp.TensorProductConv(*SIZES, INSTRUCTIONS, **options))


def operands(conv, dtype=torch.float64):
    torch.manual_seed(hash((conv.hidden, conv.bias)) % 1000)
    shapes = [(NODES, conv.irreps_in1.dim), (EDGES, conv.irreps_in2.dim), (EDGES, conv.hidden), (conv.hidden, conv.weight_numel)]
    tensors = [torch.randn(shape, dtype=dtype).requires_grad_() for shape in shapes]
    return tensors + [torch.randn(conv.weight_numel, dtype=dtype).requires_grad_()] * conv.bias


def graph():
    torch.manual_seed(5)
    return torch.randint(RECEIVERS, (EDGES,)), torch.randint(NODES, (EDGES,))


def call(conv):
    receiver, sender = graph()
    return lambda x, y, h, W2, b=None: conv(x, y, h, W2, receiver, sender, RECEIVERS, b=b)


def call_with_weights(plain, scale=0.3):
    receiver, sender = graph()

    def function(x, y, h, W2, b=None):
        w = scale * h @ W2
        return plain(x, y, w if b is None else w + b, receiver, sender, RECEIVERS)

    return function


def derivatives(function, tensors):
    """z, the gradients of a function of z, and the gradients of a function of these."""
    z = function(*tensors)
    first = torch.autograd.grad((z ** 2).sum(), tensors, create_graph=True)
    second = torch.autograd.grad(sum((g ** 2).sum() for g in first), tensors)
    return [z, *first, *second]


@pytest.mark.parametrize("bias", (False, True))
@pytest.mark.parametrize("hidden", (1, 8, 33, 64))
def test_equals_given_weights(hidden, bias):
    conv, plain = modules(hidden, bias)
    tensors = operands(conv)
    for ours, theirs in zip(derivatives(call(conv), tensors), derivatives(call_with_weights(plain), tensors)):
        torch.testing.assert_close(ours, theirs, rtol=1e-11, atol=1e-11 * float(theirs.detach().abs().max()))


@pytest.mark.parametrize("bias", (False, True))
def test_gradcheck(bias):
    conv, _ = modules(5, bias)
    tensors = operands(conv)
    assert torch.autograd.gradcheck(call(conv), tensors)
    assert torch.autograd.gradgradcheck(call(conv), tensors)


@pytest.mark.parametrize("bias", (False, True))
def test_transforms(bias):
    conv, plain = modules(4, bias)
    tensors = [t.detach() for t in operands(conv)]
    ours, theirs = call(conv), call_with_weights(plain)
    every = tuple(range(len(tensors)))
    for transform in (torch.func.jacfwd, torch.func.jacrev):
        for a, b in zip(transform(ours, every)(*tensors), transform(theirs, every)(*tensors)):
            torch.testing.assert_close(a, b)
    stacked = [torch.stack([t, 2 * t]) for t in tensors]
    torch.testing.assert_close(torch.func.vmap(ours)(*stacked), torch.func.vmap(theirs)(*stacked))


def test_compiled_training_and_export():
    """One graph for any number of edges and nodes: the values and all gradients are those of eager mode."""
    conv, _ = modules(8, True)
    x, y, h, W2, b = operands(conv)
    receiver, sender = graph()
    arguments = (x, y, h, W2, receiver, sender, NODES, b)
    compiled = torch.compile(conv, fullgraph=True, dynamic=True, backend="aot_eager")
    for ours, theirs in zip(*(torch.autograd.grad(f(*arguments).pow(2).sum(), (x, y, h, W2, b)) for f in (compiled, conv))):
        torch.testing.assert_close(ours, theirs)
    edges, nodes = torch.export.Dim("edges", min=2), torch.export.Dim("nodes", min=2)
    sizes = ({0: nodes}, {0: edges}, {0: edges}, {}, {0: edges}, {0: edges}, None, {})
    given = tuple(t.detach() if torch.is_tensor(t) else t for t in (*arguments[:6], None, b))
    exported = torch.export.export(conv, given, dynamic_shapes=sizes).module()
    few = (given[0], *(t[:7] for t in given[1:3]), given[3], *(t[:7] for t in given[4:6]), None, given[7])
    torch.testing.assert_close(exported(*few), conv(*few))


def test_script_and_save():
    conv, _ = modules(8, True)
    tensors, (receiver, sender) = operands(conv, torch.float32), graph()
    expected = call(conv)(*tensors)
    scripted = torch.jit.script(conv)
    torch.testing.assert_close(scripted(*tensors[:4], receiver, sender, RECEIVERS, tensors[4]), expected)
    file = io.BytesIO()
    torch.save(conv, file)
    file.seek(0)
    torch.testing.assert_close(call(torch.load(file, weights_only=False))(*tensors), expected)


def test_it_is_a_convolution_that_says_what_it_is():
    conv, plain = modules(8, True)
    assert isinstance(conv, flashtp.TensorProductConv) and not hasattr(plain, "hidden")
    assert "8 hidden channels and a bias" in repr(conv)


def test_errors():
    conv, _ = modules(8, False)
    x, y, h, W2 = operands(conv, torch.float32)
    run = call(conv)
    with pytest.raises(ValueError, match=r"W2 has the shape \[\d+, 8\]; it must be \[8, \d+\]"):
        run(x, y, h, W2.T)
    with pytest.raises(RuntimeError, match="no bias"):
        run(x, y, h, W2, W2[0])
    with pytest.raises(Exception, match=r"h has the shape \[11, 7\]; it must be \[11, 8\]"):
        run(x, y, h[:, :7], W2)
    with pytest.raises(flashtp.SpecificationError, match="radial: hidden is 0"):
        flashtp.TensorProductConv(*SIZES, INSTRUCTIONS, radial={"hidden": 0})
    with pytest.raises(flashtp.SpecificationError, match="shared_weights must be false"):
        flashtp.TensorProductConv(*SIZES, INSTRUCTIONS, shared_weights=True, radial={"hidden": 4})


@pytest.mark.parametrize("kind, weights, training, fused", [
    ("cpu", 2**28, False, True), ("cpu", 2**28, True, True), ("cpu", 2**28 - 1, False, False),
    ("cuda", 2**27, False, True), ("cuda", 2**27, True, False), ("cuda", 2**27 - 1, False, False), ("meta", 2**30, False, False)])
def test_size_device_and_training_decide_in_models(kind, weights, training, fused):
    rows = SimpleNamespace(device=torch.device(kind), shape=(weights, 8))
    assert is_fused(None, rows, 1, training) == fused
    assert is_fused(True, rows, 1, training) and not is_fused(False, rows, 1, training)
