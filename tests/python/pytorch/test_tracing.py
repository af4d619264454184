"""torch.compile, export, AOTInductor, make_fx and TorchScript: one graph, any sizes."""
import shutil
import subprocess
import sys

import pytest
import torch
from layers import MESSAGE, MODES, Edges, Pair, assert_close

import flashtp


def call(pair, function, inputs):
    return function(*inputs, pair.edges.receiver, pair.edges.sender, pair.edges.receivers)


def test_operators_keep_torchs_rules():
    pair = Pair(MESSAGE, Edges.random())
    edges = (pair.edges.receiver, pair.edges.sender, pair.edges.receivers, pair.edges.senders)
    torch.library.opcheck(torch.ops.flashtp.receiver_index.default, edges)
    index = list(torch.ops.flashtp.receiver_index(*edges)[:3])
    inputs = pair.inputs()
    torch.library.opcheck(torch.ops.flashtp.tensor_product.default, (inputs, index, pair.conv.problem, 0, 1, 0))
    inputs.append(torch.randn(pair.edges.receivers, pair.tp.irreps_out.dim, requires_grad=True))
    torch.library.opcheck(torch.ops.flashtp.tensor_product.default, (inputs, index, pair.conv.problem, 1, 0b101, 0))


def test_compiled_training_step_for_any_size():
    """fullgraph: an error where something would fall back to Python."""
    pair = Pair(MESSAGE, Edges.random())
    compiled = torch.compile(pair.conv, fullgraph=True, dynamic=True, backend="aot_eager")
    for edges in (pair.edges, Edges.random(29, 7, 8), Edges.random(31, 9, 11)):
        pair.edges = edges
        inputs = pair.inputs()
        ours = torch.autograd.grad(call(pair, compiled, inputs).pow(2).sum(), inputs)
        assert_close(ours, torch.autograd.grad(pair.e3nns(*inputs).pow(2).sum(), inputs))


needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="SKIPPED: inductor wants a C++ compiler")


@needs_compiler
def test_inductor_trains_for_any_size():
    """The convolution between operations that inductor compiles itself."""
    pair = Pair(MESSAGE, Edges.random())

    def loss(function, x, y, w):
        return function(torch.tanh(x), y, w * y[:, :1]).pow(2).mean()

    def ours(x, y, w, receiver, sender, receivers):
        return loss(lambda *operands: pair.conv(*operands, receiver, sender, receivers), x, y, w)

    compiled = torch.compile(ours, fullgraph=True, dynamic=True)
    for pair.edges in (Edges.random(), Edges.random(29, 7, 8)):
        inputs = pair.inputs()
        value, expected = call(pair, compiled, inputs), loss(pair.e3nns, *inputs)
        assert_close([value, *torch.autograd.grad(value, inputs)], [expected, *torch.autograd.grad(expected, inputs)])


RUN_PACKAGE = """
import sys, torch, flashtp
arguments, expected = torch.load(sys.argv[2])
found = torch._inductor.aoti_load_package(sys.argv[1])(*arguments)
assert torch.allclose(found, expected, rtol=0, atol=1e-12 * (1 + expected.abs().max())), (found - expected).abs().max()
assert torch.ops.flashtp.launch_count() > 0
"""


@needs_compiler
def test_aotinductor_package_with_forces(tmp_path):
    """Energies and their gradient in one package; another process, which never saw the module, loads it and runs other sizes."""
    from torch.fx.experimental.proxy_tensor import make_fx

    pair = Pair(MESSAGE, Edges.random(senders=5, receivers=5))

    def forces(x, y, w, receiver, sender):
        y = y.detach().requires_grad_()
        return torch.autograd.grad(pair.conv(x, y, w, receiver, sender).pow(2).sum(), y)[0]

    def arguments():
        return (*(t.detach() for t in pair.inputs()), pair.edges.receiver, pair.edges.sender)

    class Forces(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.traced = make_fx(forces, tracing_mode="symbolic")(*arguments())

        def forward(self, x, y, w, receiver, sender):
            return self.traced(x, y, w, receiver, sender)

    edges, nodes = torch.export.Dim("edges", min=2), torch.export.Dim("nodes", min=2)
    exported = torch.export.export(Forces(), arguments(), dynamic_shapes=({0: nodes}, *[{0: edges}] * 4))
    package = torch._inductor.aoti_compile_and_package(exported, package_path=str(tmp_path / "forces.pt2"))
    pair.edges = Edges.random(29, 8, 8)
    others = arguments()
    torch.save((others, forces(*others)), tmp_path / "expected.pt")
    run = subprocess.run([sys.executable, "-c", RUN_PACKAGE, package, tmp_path / "expected.pt"], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


def test_compiled_plain_product():
    module = flashtp.TensorProduct(*MODES["mixed"])
    compiled = torch.compile(module, fullgraph=True, dynamic=True, backend="aot_eager")
    for shape in ((3,), (5,), (2, 1, 3)):
        x, y = torch.randn(*shape, module.irreps_in1.dim), torch.randn(3, module.irreps_in2.dim) if len(shape) > 1 else torch.randn(
            *shape, module.irreps_in2.dim)
        assert_close([compiled(x, y)], [module(x, y)])


def test_exported_for_any_size():
    pair = Pair(MESSAGE, Edges.random(senders=5, receivers=5))
    edges, nodes = torch.export.Dim("edges", min=2), torch.export.Dim("nodes", min=2)
    sizes = ({0: nodes}, {0: edges}, {0: edges}, {0: edges}, {0: edges})
    arguments = (*(t.detach() for t in pair.inputs()), pair.edges.receiver, pair.edges.sender)
    exported = torch.export.export(pair.conv, arguments, dynamic_shapes=(*sizes,))
    pair.edges = Edges.random(29, 8, 8)
    inputs = pair.inputs()
    assert_close([exported.module()(*inputs, pair.edges.receiver, pair.edges.sender)], [pair.e3nns(*inputs)])


def test_traced_forces():
    """As frameworks make inference models: the gradient is part of the graph."""
    from torch.fx.experimental.proxy_tensor import make_fx

    pair = Pair(MESSAGE, Edges.random())

    def forces(x, y, w, receiver, sender):
        y = y.detach().requires_grad_()
        return torch.autograd.grad(pair.conv(x, y, w, receiver, sender, 4).pow(2).sum(), y)[0]

    arguments = (*(t.detach() for t in pair.inputs()), pair.edges.receiver, pair.edges.sender)
    traced = make_fx(forces, tracing_mode="symbolic")(*arguments)
    assert_close([traced(*arguments)], [forces(*arguments)])


def test_torchscript():
    pair = Pair(MESSAGE, Edges.random())
    inputs = pair.inputs()
    scripted = torch.jit.script(pair.conv)
    ours = torch.autograd.grad(call(pair, scripted, inputs).pow(2).sum(), inputs)
    assert_close(ours, torch.autograd.grad(pair.e3nns(*inputs).pow(2).sum(), inputs))
    module = flashtp.TensorProduct(*MODES["mixed"], compile_right=True)
    x, y = torch.randn(2, 3, module.irreps_in1.dim), torch.randn(3, module.irreps_in2.dim)
    scripted = torch.jit.script(module)
    assert_close([scripted(x, y), scripted.right(y)], [module(x, y), module.right(y)])
