"""torch.func, forward mode and vmap: right, or an error, and never a silent zero."""
import pytest
import torch
import torch.autograd.forward_ad as forward_mode
from layers import MESSAGE, MODES, Edges, Pair, assert_close
from torch import func

import flashtp


@pytest.fixture
def pair():
    return Pair(MESSAGE, Edges.random())


def detached(pair):
    return [t.detach() for t in pair.inputs()]


def cubed(function, values, position):
    """A scalar function of one input, with second derivatives."""
    return lambda v: function(*values[:position], v, *values[position + 1:]).pow(3).sum()


def test_jvp(pair):
    values = detached(pair)
    tangents = [torch.randn_like(v) for v in values]
    assert_close(*(func.jvp(f, tuple(values), tuple(tangents)) for f in (pair.ours, pair.e3nns)))


@pytest.mark.parametrize("position", (0, 1, 2))
@pytest.mark.parametrize("transform", (
    func.grad, func.jacrev, func.jacfwd, func.hessian, lambda f: func.jacrev(func.jacrev(f)), lambda f: func.jacfwd(func.jacfwd(f)),
    lambda f: func.jacrev(func.jacfwd(f))), ids=("grad", "jacrev", "jacfwd", "hessian", "jacrev^2", "jacfwd^2", "jacrev jacfwd"))
def test_derivative(pair, transform, position):
    values = detached(pair)
    ours, theirs = (transform(cubed(f, values, position))(values[position]) for f in (pair.ours, pair.e3nns))
    assert_close([ours], [theirs])


def test_dual_numbers(pair):
    values = detached(pair)
    tangent = torch.randn_like(values[1])
    with forward_mode.dual_level():
        duals = (values[0], forward_mode.make_dual(values[1], tangent), values[2])
        ours, theirs = (forward_mode.unpack_dual(f(*duals)).tangent for f in (pair.ours, pair.e3nns))
    assert_close([ours], [theirs])


def test_forward_mode_stops_at_second_derivatives(pair):
    values = detached(pair)
    with pytest.raises(NotImplementedError, match="forward mode"):
        func.jacfwd(func.jacrev(func.jacrev(cubed(pair.ours, values, 1))))(values[1])


@pytest.mark.parametrize("shared", (False, True))
@pytest.mark.parametrize("batched", ((0,), (1,), (2,), (0, 1, 2)))
@pytest.mark.parametrize("size", (3, 0))
def test_vmap(shared, batched, size):
    pair = Pair(MESSAGE, Edges.random(), shared_weights=shared)
    values = [torch.randn(size, *v.shape) if i in batched else v for i, v in enumerate(detached(pair))]
    dims = tuple(0 if i in batched else None for i in range(3))
    ours = torch.vmap(pair.ours, in_dims=dims)(*values)
    assert ours.shape == (size, pair.edges.receivers, pair.tp.irreps_out.dim)
    one_by_one = [pair.e3nns(*[v[b] if i in batched else v for i, v in enumerate(values)]) for b in range(size)]
    assert size == 0 or torch.allclose(ours, torch.stack(one_by_one))


def test_gradients_of_single_samples(pair):
    values = detached(pair)
    many = torch.randn(3, *values[1].shape)
    ours, theirs = (torch.vmap(func.grad(cubed(f, values, 1)))(many) for f in (pair.ours, pair.e3nns))
    assert_close([ours], [theirs])


def test_vmap_of_a_plain_product():
    module = flashtp.TensorProduct(*MODES["mixed"])
    x, y = torch.randn(4, 3, module.irreps_in1.dim), torch.randn(4, 3, module.irreps_in2.dim)
    assert_close([torch.vmap(module, in_dims=(1, 1), out_dims=1)(x, y)], [module(x, y)])


def test_the_bare_operator_does_not_return_zero(pair):
    """Transforms must not see through it without its derivatives."""
    x, y, w = detached(pair)
    index = list(torch.ops.flashtp.receiver_index(pair.edges.receiver, pair.edges.sender, 4, 5)[:3])

    def bare(x):
        return torch.ops.flashtp.tensor_product([x, y, w], index, pair.conv.problem, 0, 1, 0)[0]

    def dual():
        with forward_mode.dual_level():
            return forward_mode.unpack_dual(bare(forward_mode.make_dual(x, x))).tangent

    # It is linear in x, so that its derivative along x is its value.
    for transform in (lambda: func.jvp(bare, (x,), (x,))[1], lambda: func.jacrev(bare)(x).flatten(2) @ x.flatten(), dual):
        try:
            found = transform()
        except (RuntimeError, NotImplementedError):
            continue
        assert_close([found], [bare(x)])
    assert_close([torch.vmap(bare)(x[None])], [pair.ours(x, y, w)[None]])
