"""flashtp.TensorProduct against e3nn.o3.TensorProduct."""
import pytest
import torch
from e3nn import o3
from layers import MODES, assert_close, derivatives

import flashtp


def both(*arguments, **options):
    """The same module of e3nn and of this package, with the same weights."""
    torch.manual_seed(7)
    theirs = o3.TensorProduct(*arguments, **options)
    torch.manual_seed(7)
    return theirs, flashtp.TensorProduct(*arguments, **options)


@pytest.mark.parametrize("mode", MODES)
def test_modes(mode):
    theirs, ours = both(*MODES[mode])
    x, y = (torch.randn(6, i.dim, requires_grad=True) for i in (theirs.irreps_in1, theirs.irreps_in2))
    weights = [[m.weight] if m.weight_numel else [] for m in (ours, theirs)]
    assert_close(derivatives(lambda x, y, *_: ours(x, y), [x, y, *weights[0]], 2),
                 derivatives(lambda x, y, *_: theirs(x, y), [x, y, *weights[1]], 2))


@pytest.mark.parametrize("mode", MODES)
def test_gradcheck(mode):
    module = flashtp.TensorProduct(*MODES[mode], shared_weights=False)
    inputs = [torch.randn(3, i.dim, requires_grad=True) for i in (module.irreps_in1, module.irreps_in2)]
    if module.weight_numel:
        inputs.append(torch.randn(3, module.weight_numel, requires_grad=True))
    assert torch.autograd.gradcheck(module, inputs)
    assert torch.autograd.gradgradcheck(module, inputs)


@pytest.mark.parametrize("irrep", ("component", "norm", "none"))
@pytest.mark.parametrize("path", ("element", "path", "none"))
def test_coefficients_and_records_are_e3nns(irrep, path):
    options = dict(irrep_normalization=irrep, path_normalization=path, in1_var=[0.5, 2.0], in2_var=[3.0], out_var=[1.0, 0.2, 5.0])
    theirs, ours = both(*MODES["mixed"], **options)
    assert [tuple(i) for i in ours.instructions] == [tuple(i) for i in theirs.instructions]
    x, y = torch.randn(4, theirs.irreps_in1.dim), torch.randn(4, theirs.irreps_in2.dim)
    assert_close([ours(x, y)], [theirs(x, y)])


@pytest.mark.parametrize("x, y, w", (((5,), (5,), (5,)), ((2, 1, 4), (2, 3, 1), (3, 4)), ((), (3,), (1,)), ((0,), (0,), (0,)),
                                     ((2, 0), (1,), (1,))))
@pytest.mark.parametrize("shared", (False, True))
def test_leading_dimensions_broadcast(x, y, w, shared):
    theirs, ours = both(*MODES["uvw"], shared_weights=shared, internal_weights=False)
    x, y = torch.randn(*x, theirs.irreps_in1.dim), torch.randn(*y, theirs.irreps_in2.dim)
    w = torch.randn(*(() if shared else w), theirs.weight_numel)
    assert_close([ours(x, y, w)], [theirs(x, y, w)])


@pytest.mark.parametrize("arguments", (
    ("0x1o", "3x1o", "0x2e", [(0, 0, 0, "uvu", True)]), ("0x1o", "0x1o", "3x2e", []), ("", "", "", []), ("3x1o", "", "3x1o", [])))
def test_nothing_to_multiply(arguments):
    theirs, ours = both(*arguments)
    x, y = torch.randn(2, theirs.irreps_in1.dim), torch.randn(2, theirs.irreps_in2.dim)
    assert_close([ours(x, y)], [theirs(x, y)])
    assert torch.equal(ours.output_mask, theirs.output_mask)


@pytest.mark.parametrize("shared", (False, True))
def test_right(shared):
    theirs, ours = both(*MODES["mixed"], shared_weights=shared, internal_weights=False, compile_right=True)
    y = torch.randn(3, theirs.irreps_in2.dim)
    w = torch.randn(*(() if shared else (3,)), theirs.weight_numel)
    assert_close([ours.right(y, w)], [theirs.right(y, w)])
    with pytest.raises(AssertionError, match="compile_right"):
        flashtp.TensorProduct(*MODES["mixed"]).right(y)


@pytest.mark.parametrize("shared, internal", ((None, None), (True, None), (False, None), (True, True), (True, False), (False, False)))
def test_weights_belong_where_e3nn_has_them(shared, internal):
    theirs, ours = both(*MODES["mixed"], shared_weights=shared, internal_weights=internal)
    assert (ours.shared_weights, ours.internal_weights) == (theirs.shared_weights, theirs.internal_weights)
    assert [n for n, _ in ours.named_parameters()] == [n for n, _ in theirs.named_parameters()]
    state = {k: v for k, v in theirs.state_dict().items() if not k.startswith("_compiled")}
    assert list(ours.state_dict()) == list(state)
    assert all(torch.equal(v, state[k]) for k, v in ours.state_dict().items())


def test_a_state_dict_of_e3nn_is_loaded():
    theirs, ours = both(*MODES["mixed"])
    saved = {"inner." + k: v + 1 for k, v in theirs.state_dict().items()}
    torch.nn.ModuleDict({"inner": ours}).load_state_dict(saved)
    assert torch.equal(ours.weight, theirs.weight + 1)


def test_views_of_weights():
    _, ours = both(*MODES["mixed"])
    before = ours.weight.detach().clone()
    views = list(ours.weight_views(yield_instruction=True))
    assert [(n, v.shape) for n, _, v in views] == [(n, i.path_shape) for n, i in enumerate(ours.instructions) if i.has_weight]
    with torch.no_grad():
        ours.weight_view_for_instruction(2).zero_()
    sizes = [ours.instructions[0].weight_numel, ours.instructions[2].weight_numel]
    assert torch.equal(ours.weight[:sizes[0]], before[:sizes[0]]) and not ours.weight[sizes[0]:].any()
    with pytest.raises(ValueError, match="no weights"):
        ours.weight_view_for_instruction(1)


def test_weights_as_a_list():
    theirs, ours = both(*MODES["mixed"], shared_weights=False)
    x, y = torch.randn(4, theirs.irreps_in1.dim), torch.randn(4, theirs.irreps_in2.dim)
    w = [torch.randn(4, *i.path_shape) for i in theirs.instructions if i.has_weight]
    assert_close([ours(x, y, w)], [theirs(x, y, w)])


def test_wrong_weights_are_refused():
    x, y = torch.randn(4, 8), torch.randn(4, 6)
    shared, single = (flashtp.TensorProduct(*MODES["mixed"], internal_weights=False, shared_weights=s) for s in (True, False))
    w = torch.randn(shared.weight_numel)
    for module, weight in ((shared, None), (shared, w[:-1]), (shared, w[None]), (single, w), (single, None)):
        with pytest.raises((ValueError, RuntimeError, AssertionError)):
            module(x, y, weight)
    views = list(shared.weight_views(w))
    with pytest.raises(ValueError, match=f"a list of {len(views) - 1} tensors; {len(views)} instructions"):
        shared(x, y, views[:-1])
    with pytest.raises(ValueError, match=r"the weights of instruction 0 have the shape \[1, 1\]; it must be"):
        shared(x, y, [torch.ones(1, 1), *views[1:]])
    with pytest.raises(ValueError, match=r"x has the shape \[4, 7\]; its last dimension must be irreps_in1.dim, 8"):
        shared(x[:, 1:], y, w)
    with pytest.raises(ValueError, match=r"x \[4, 8\], y \[3, 6\]; all dimensions but the last"):
        shared(x, y[1:], w)
    with pytest.raises(TypeError, match="y is no tensor"):
        shared(x, y.tolist(), w)
