"""Tensor products whose instructions follow from irreps, and models whose products are exchanged."""
import copy
import io

import pytest
import torch
from e3nn import o3
from layers import MODES, assert_close

import flashtp

CASES = {
    "fully connected": ("FullyConnectedTensorProduct", ("4x0e+3x1o+2x2e", "2x0e+1x1o", "3x0e+2x1o+2x1e"), {}),
    "fully connected, norm": ("FullyConnectedTensorProduct", ("2x0e+2x1o", "2x1o", "3x0e+2x1o"),
                              dict(irrep_normalization="norm", path_normalization="path", shared_weights=True)),
    "elementwise": ("ElementwiseTensorProduct", ("5x1o+5x1e", "10x1e"), {}),
    "elementwise, cut": ("ElementwiseTensorProduct", ("3x0e+4x1o+1x2e", "2x1o+6x1e"), dict(irrep_normalization="norm")),
    "elementwise, filtered": ("ElementwiseTensorProduct", ("5x1o+5x1e", "10x1e", ["0e", "0o"]), {}),
    "full": ("FullTensorProduct", ("2x0e+3x1o", "2x1o+1x2e"), {}),
    "full, filtered": ("FullTensorProduct", ("2x1o+1x1e", "2x1o+1x2e"), dict(filter_ir_out=["1o", "2e"])),
    "square": ("TensorSquare", ("3x0e+2x1o+1x2e",), {}),
    "square, norm": ("TensorSquare", ("3x0e+2x1o+1x2e",), dict(irrep_normalization="norm")),
    "square, none": ("TensorSquare", ("3x0e+2x1o",), dict(irrep_normalization="none", filter_ir_out=["0e", "1e"])),
    "square, connected": ("TensorSquare", ("3x0e+2x1o+1x2e", "4x0e+2x1o+2x2e"), {}),
    "square, connected, norm": ("TensorSquare", ("3x0e+2x1o", "4x0e+2x1e"), dict(irrep_normalization="norm")),
}


def arguments_of(module):
    irreps = [module.irreps_in1] if type(module).__name__ == "TensorSquare" else [module.irreps_in1, module.irreps_in2]
    return [torch.randn(5, i.dim) for i in irreps]


@pytest.mark.parametrize("case", CASES)
def test_equals_e3nns(case):
    name, arguments, options = CASES[case]
    theirs, ours = getattr(o3, name)(*arguments, **options), getattr(flashtp, name)(*arguments, **options)
    assert str(ours.irreps_out) == str(theirs.irreps_out)
    assert [tuple(i) for i in ours.instructions] == [tuple(i) for i in theirs.instructions]
    ours.load_state_dict(theirs.state_dict())
    inputs = arguments_of(theirs)
    assert_close([ours(*inputs)], [theirs(*inputs)])
    assert repr(ours) == repr(theirs)


class Model(torch.nn.Module):
    """Every class of e3nn's tensor products, one of them twice, and one with a forward of its own."""

    def __init__(self):
        super().__init__()
        self.products = torch.nn.ModuleList([getattr(o3, name)(*arguments, **options) for name, arguments, options in CASES.values()])
        self.mixed = o3.TensorProduct(*MODES["mixed"], compile_right=True)
        self.again = self.mixed
        self.changed = Changed(*MODES["uvu"])


class Changed(o3.TensorProduct):
    def forward(self, x, y):
        return -super().forward(x, y)


def test_replace_keeps_state_and_results():
    model = Model()
    state = copy.deepcopy(model.state_dict())
    inputs = [arguments_of(product) for product in model.products]
    before = [product(*i) for product, i in zip(model.products, inputs)]
    parameters = dict(model.named_parameters())
    report = flashtp.replace(model)

    replaced = {r.name for r in report if not r.why_not}
    assert replaced == {"mixed", "again", *(f"products.{n}" for n in range(len(CASES)))}
    assert [(r.name, r.why_not) for r in report if r.why_not] == [("changed", "Changed has a forward of its own")]
    assert all(isinstance(p, flashtp.TensorProduct) for p in model.products) and model.again is model.mixed
    assert_close([product(*i) for product, i in zip(model.products, inputs)], before)
    assert list(model.state_dict()) == list(state)
    assert all(torch.equal(v, state[k]) for k, v in model.state_dict().items())
    assert all(p is parameters[n] for n, p in model.named_parameters())


def test_a_replaced_model_is_copied_saved_and_loaded():
    model, original = (torch.nn.Sequential(o3.TensorSquare("2x0e+2x1o", "2x0e+1x1o")) for _ in range(2))
    flashtp.replace(model)
    model.load_state_dict(original.state_dict())
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    x = torch.randn(3, 8)
    for other in (copy.deepcopy(model), torch.load(file, weights_only=False)):
        assert_close([other(x)], [original(x)])
    original.load_state_dict(model.state_dict())


def test_what_cannot_be_replaced_is_said():
    with pytest.raises(ValueError, match="from_e3nn"):
        flashtp.replace(o3.FullTensorProduct("1x1o", "1x1o"))
    hooked = torch.nn.Sequential(o3.FullTensorProduct("1x1o", "1x1o"))
    hooked[0].register_forward_hook(lambda *_: None)
    assert [r.why_not for r in flashtp.replace(hooked)] == ["it has hooks"]
