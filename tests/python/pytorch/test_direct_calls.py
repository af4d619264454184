"""Which calls go to the kernels without torch.ops: usual ones, and no others."""
import pytest
import torch
from layers import MESSAGE, Edges, Pair
from torch.autograd import forward_ad
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

import flashtp
from flashtp.specification import number_of

DIRECT = flashtp._library.FAST_CALL
pytestmark = pytest.mark.skipif(DIRECT is None, reason="this build has no direct calls")


class Subclass(torch.Tensor):
    pass


class Functions(TorchFunctionMode):
    def __torch_function__(self, function, types, args=(), kwargs=None):
        return function(*args, **(kwargs or {}))


class Dispatches(TorchDispatchMode):
    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        return function(*args, **(kwargs or {}))


def direct(change=lambda x: x, receivers=4):
    edges = Edges.random()
    pair = Pair(MESSAGE, edges)
    x, y, w = pair.inputs()
    found = DIRECT.call([change(x), y, w], edges.receiver, edges.sender, receivers, number_of(pair.conv.problem), False)
    return found, pair, (x, y, w)


def test_plain_tensors():
    found, pair, inputs = direct()
    assert torch.equal(found, pair.ours(*inputs)) and found.requires_grad
    assert direct(torch.nn.Parameter)[0].isfinite().all()


@pytest.mark.parametrize("change", (lambda x: x.as_subclass(Subclass), lambda x: x[:, 1:], lambda x: x.tolist(), lambda x: None),
                         ids=("subclass", "width", "list", "None"))
def test_others_are_left_to_the_operator(change):
    assert direct(change)[0] is None


@pytest.mark.parametrize("watcher", (Functions, Dispatches, lambda: torch.autocast("cpu", torch.bfloat16), torch.profiler.profile),
                         ids=("function mode", "dispatch mode", "autocast", "profiler"))
def test_nothing_is_direct_while_something_looks_on(watcher):
    with watcher():
        assert direct()[0] is None


def test_forward_mode_and_transforms():
    with forward_ad.dual_level():
        assert direct(lambda x: forward_ad.make_dual(x.detach(), torch.ones_like(x)))[0] is None
    seen = []
    torch.func.vmap(lambda scale: seen.append(direct(lambda x: x * scale)[0]) or scale, randomness="same")(torch.ones(2))
    assert seen == [None]


def test_numbers_that_are_none():
    assert direct(receivers="many")[0] is None
    with pytest.raises(TypeError, match="six arguments"):
        DIRECT.call(1, 2)


def test_what_a_hook_raises_is_raised_once():
    calls = []

    def pack(tensor):
        calls.append(tensor)
        raise KeyError("a hook's own error")

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t), pytest.raises(KeyError, match="own error"):
        direct()
    assert len(calls) == 1
