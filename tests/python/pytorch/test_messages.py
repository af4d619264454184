"""Mistakes are answered with the argument's name, what it is and what it must be."""
import pytest
import torch
from layers import MESSAGE, Edges, Pair

import flashtp

WRONG_INPUTS = {
    "width of x": ("x", lambda t: t[:, :-1], ("x", "[5, 19]", "[5, 20]")),
    "rows of y": ("y", lambda t: t[:-1], ("y", "[12, 9]", "[13, 9]", "edge")),
    "rows of w": ("w", lambda t: t[1:], ("w", "[12, 28]", "[13, 28]")),
    "dimensions of w": ("w", lambda t: t.flatten(), ("w", "[364]", "[13, 28]")),
    "dtype of w": ("w", lambda t: t.float(), ("w", "Float", "Double")),
    "dtype of x": ("x", lambda t: t.half(), ("x", "Half", "float32")),
    "dimensions of x": ("x", lambda t: t[0], ("x", "[20]", "[senders, irreps_in1.dim]")),
    "device of w": ("w", lambda t: t.to("meta"), ("w is on meta", "x is on cpu")),
    "number of receivers": ("num_out", lambda _: -5, ("num_out is -5",)),
    "no nodes": ("x", lambda t: t[:0], ("the sender of edge 0 is", "there are no senders")),
    "missing receiver": ("receiver", lambda t: None, ("receiver is None",)),
    "missing x": ("x", lambda t: None, ("x is None",)),
    "y is a list": ("y", lambda t: t.tolist(), ("y is a list",)),
    "w is an array": ("w", lambda t: t.detach().numpy(), ("w is a ndarray",)),
    "missing w": ("w", lambda t: None, ("w is None", "28")),
    "receiver out of range": ("receiver", lambda t: torch.where(torch.arange(13) == 3, 4, t), ("receiver of edge 3 is 4", "3")),
    "negative sender": ("sender", lambda t: torch.where(torch.arange(13) == 2, -1, t), ("sender of edge 2 is -1",)),
    "length of sender": ("sender", lambda t: t[:-1], ("sender", "[12]", "[13]")),
    "dtype of sender": ("sender", lambda t: t.int(), ("sender", "Int", "Long")),
    "dtype of receiver": ("receiver", lambda t: t.double(), ("receiver", "Double", "int64")),
    "dimensions of receiver": ("receiver", lambda t: t[:, None], ("receiver", "[13, 1]", "one dimension")),
}


@pytest.mark.parametrize("case", WRONG_INPUTS)
def test_wrong_input(case):
    name, change, words = WRONG_INPUTS[case]
    pair = Pair(MESSAGE, Edges.random())
    values = dict(zip("xyw", pair.inputs()), receiver=pair.edges.receiver, sender=pair.edges.sender, num_out=pair.edges.receivers)
    values[name] = change(values[name])
    with pytest.raises((TypeError, ValueError, RuntimeError)) as caught:
        pair.conv(**values)
    missing = [word for word in words if word not in str(caught.value)]
    assert not missing, f"{missing} not in: {caught.value}"


WRONG_LAYERS = {
    "instruction": (dict(instructions=[(0, 0)]), ("instruction 0", "(0, 0)")),
    "no instructions": (dict(instructions=3), ("instructions is 3", "i_in1")),
    "instruction that is a number": (dict(instructions=[3]), ("instruction 0 is 3", "i_in1")),
    "segment that is no number": (dict(instructions=[(0, "0", 0, "uvu", True)]), ("instruction 0", "i_in2 '0'", "whole number")),
    "segment that is no whole number": (dict(instructions=[(0.5, 0, 0, "uvu", True)]), ("instruction 0", "i_in1 0.5", "whole number")),
    "has_weight": (dict(instructions=[(0, 0, 0, "uvu", "no")]), ("instruction 0", "'no'", "True or False")),
    "path weight that is not finite": (dict(instructions=[(0, 0, 0, "uvu", True, float("nan"))]), ("instruction 0", "nan", "finite")),
    "irreps that are a number": (dict(irreps_in2=8), ("irreps_in2 is 8", "16x1o")),
    "irreps with half a multiplicity": (dict(irreps_out=[(1.5, (0, 1))]), ("irreps_out", "1.5", "whole number")),
    "radial of text": (dict(radial={"hidden": "many"}), ("hidden", "many")),
    "radial scale": (dict(radial={"hidden": 8, "scale": float("inf")}), ("radial", "inf", "finite")),
    "variances that are no numbers": (dict(in2_var="ab"), ("in2_var", "ab")),
    "mode": (dict(instructions=[(0, 0, 0, "uvx", True)]), ("instruction 0", "uvx")),
    "segment": (dict(instructions=[(0, 3, 0, "uvu", True)]), ("instruction 0", "i_in2 3")),
    "path weight": (dict(instructions=[(0, 0, 0, "uvu", True, -1.0)]), ("instruction 0", "-1.0")),
    "irreps": (dict(irreps_in1="8x0q"), ("8x0q",)),
    "irrep_normalization": (dict(irrep_normalization="unit"), ("irrep_normalization", "unit", "component")),
    "path_normalization": (dict(path_normalization="unit"), ("path_normalization", "unit", "element")),
    "layout": (dict(layout="mulir"), ("layout", "mulir", "ir_mul")),
    "variance": (dict(in1_var=[1.0]), ("in1_var", "1", "2")),
}


@pytest.mark.parametrize("case", WRONG_LAYERS)
def test_wrong_layer(case):
    changed, words = WRONG_LAYERS[case]
    with pytest.raises((ValueError, IndexError)) as caught:
        flashtp.TensorProductConv(**{**MESSAGE._asdict(), **changed})
    missing = [word for word in words if word not in str(caught.value)]
    assert not missing, f"{missing} not in: {caught.value}"


def test_fourth_derivatives_are_refused():
    pair = Pair(MESSAGE, Edges.random())
    value, x = None, None
    inputs = pair.inputs()
    value = pair.ours(*inputs)
    with pytest.raises((RuntimeError, NotImplementedError), match="fourth derivatives"):
        for _ in range(4):
            value = torch.autograd.grad(value.pow(3).sum(), inputs[0], create_graph=True)[0]
