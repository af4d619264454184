"""Convolutions of fewer edges than their tensors have room for: those behind the number may hold anything."""
import pytest
import torch
from layers import MESSAGE, Edges, Pair, assert_close, derivatives

ROOM, COUNT = 21, 13


class Padded:
    """A convolution of ``count`` edges, and the same with room for more; what fills the room is no number and no row."""

    def __init__(self, count=COUNT, index=torch.int64, **options):
        self.pair = Pair(MESSAGE, Edges.random(count, dtype=index), **options)
        self.conv, self.num_edges = self.pair.conv, torch.tensor([count])
        edges, rest = self.pair.edges, torch.full((ROOM - count,), 10**9, dtype=index)
        self.receiver, self.sender = torch.cat((edges.receiver, rest)), torch.cat((edges.sender, -rest))

    def filled(self, rows):
        """Differentiable; the rows of edges, with room behind them."""
        return torch.cat((rows, rows.new_full((ROOM - len(rows), rows.shape[1]), torch.nan)))

    def run(self, x, y, w):
        return self.conv(x, y, w, self.receiver, self.sender, self.pair.edges.receivers, self.num_edges)

    def ours(self, x, y, w):
        return self.run(x, self.filled(y), w if self.pair.shared else self.filled(w))


@pytest.mark.parametrize("count", (0, 1, COUNT, ROOM))
@pytest.mark.parametrize("index", (torch.int32, torch.int64))
def test_derivatives_are_those_of_the_edges_that_there_are(count, index):
    padded = Padded(count, index)
    inputs = padded.pair.inputs()
    assert_close(derivatives(padded.ours, inputs, 2), derivatives(padded.pair.e3nns, inputs, 2))


@pytest.mark.parametrize("options", (dict(shared_weights=True), dict(deterministic=True)), ids=str)
def test_other_convolutions(options):
    padded = Padded(**options)
    inputs = padded.pair.inputs()
    assert_close(derivatives(padded.ours, inputs, 2), derivatives(padded.pair.e3nns, inputs, 2))


def test_gradients_of_other_rows_are_zero():
    padded = Padded()
    x, y, w = padded.pair.inputs()
    leaves = [padded.filled(t).detach().requires_grad_() for t in (y, w)]
    first = torch.autograd.grad(padded.run(x, *leaves).pow(2).sum(), leaves, create_graph=True)
    second = torch.autograd.grad(sum(g.pow(2).sum() for g in first), leaves)
    for gradient in (*first, *second):
        assert gradient[:COUNT].abs().min() > 0 and not gradient[COUNT:].any()


@pytest.mark.parametrize("change", (torch.jit.script, lambda conv: torch.compile(conv, fullgraph=True, dynamic=True, backend="aot_eager")),
                         ids=("script", "compile"))
def test_one_graph_serves_all_numbers(change):
    padded = Padded()
    function = change(padded.pair.conv)
    for count in (COUNT, 5, ROOM):
        other = Padded(count)
        other.conv = function
        inputs = other.pair.inputs()
        ours = torch.autograd.grad(other.ours(*inputs).pow(2).sum(), inputs)
        assert_close(ours, torch.autograd.grad(other.pair.e3nns(*inputs).pow(2).sum(), inputs))


@pytest.mark.parametrize("wrong, words", ((torch.tensor([ROOM + 1]), ("num_edges is 22", "from 0 to 21")),
                                          (torch.tensor([-1]), ("num_edges is -1",)),
                                          (torch.tensor([5.0]), ("num_edges is Float", "one int64")),
                                          (torch.tensor([5, 6]), ("num_edges", "[2]", "one int64"))), ids=str)
def test_wrong_numbers(wrong, words):
    padded = Padded()
    padded.num_edges = wrong
    with pytest.raises((ValueError, RuntimeError)) as caught:
        padded.ours(*padded.pair.inputs())
    assert all(word in str(caught.value) for word in words), caught.value


def test_vmap_is_refused():
    padded = Padded()
    x, y, w = (t.detach() for t in padded.pair.inputs())
    with pytest.raises(NotImplementedError, match="num_edges"):
        torch.func.vmap(lambda x: padded.ours(x, y, w))(torch.stack((x, x)))
