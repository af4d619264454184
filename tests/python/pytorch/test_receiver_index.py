"""The index of a list of edges: shared by layers, and never out of date."""
import gc
import os
import subprocess
import sys

import pytest
import torch
from layers import MESSAGE, Edges, Pair, assert_close

from flashtp import receiver_index as python_cache


class Built:
    """How many indices were made in a with block."""

    def __enter__(self):
        self.before = torch.ops.flashtp.index_count()
        return self

    def __exit__(self, *unused):
        self.count = torch.ops.flashtp.index_count() - self.before


def test_the_index_groups_edges_by_receiver():
    edges = Edges.random(40)
    row_ptr, sender, edge, _ = torch.ops.flashtp.receiver_index(*edges)
    order = torch.argsort(edges.receiver, stable=True)
    assert edge.tolist() == order.tolist()
    assert sender.tolist() == edges.sender[order].tolist()
    assert row_ptr.tolist() == [int((edges.receiver < r).sum()) for r in range(edges.receivers + 1)]


def test_sorted_edges():
    pair = Pair(MESSAGE, Edges(torch.tensor([0, 0, 2, 3, 3]), torch.tensor([4, 1, 0, 0, 2]), 4, 5))
    inputs = pair.inputs()
    assert_close([pair.ours(*inputs)], [pair.e3nns(*inputs)])


def test_equal_views_of_one_tensor_share_an_index():
    """Models take the rows of an edge_index anew in every layer."""
    both = torch.stack((torch.randint(4, (9,)), torch.randint(4, (9,))))
    pair = Pair(MESSAGE, Edges(both[0], both[1], 4, 4))
    inputs = pair.inputs()

    def build_count(receiver, sender, receivers):
        pair.edges = Edges(receiver, sender, receivers, 4)
        with Built() as built:
            assert_close([pair.ours(*inputs)], [pair.e3nns(*inputs)])
        return built.count

    assert build_count(both[0], both[1], 4) == 1
    assert build_count(both[0], both[1], 4) == 0
    assert build_count(both[1], both[0], 4) == 1
    assert build_count(both[0], both[1], 5) == 1
    assert build_count(both[0].clone(), both[1], 4) == 1


def test_edges_changed_in_place_get_a_new_index():
    pair = Pair(MESSAGE, Edges.random())
    x, y, w = pair.inputs()
    pair.ours(x, y, w)
    pair.edges.receiver.add_(1).remainder_(pair.edges.receivers)
    assert_close([pair.ours(x, y, w)], [pair.e3nns(x, y, w)])


def test_other_memory_in_the_same_tensor_gets_a_new_index():
    pair = Pair(MESSAGE, Edges.random())
    inputs = pair.inputs()
    pair.ours(*inputs)
    pair.edges.receiver.data = (pair.edges.receiver + 1) % pair.edges.receivers
    assert_close([pair.ours(*inputs)], [pair.e3nns(*inputs)])


def test_memory_that_is_used_again_gets_a_new_index():
    """A freed list of edges and the next one often have one address."""
    for _ in range(20):
        pair = Pair(MESSAGE, Edges.random())
        inputs = pair.inputs()
        assert_close([pair.ours(*inputs)], [pair.e3nns(*inputs)])
        del pair, inputs


def test_the_index_is_dropped_with_the_edges():
    """In Python, where one can look."""
    def index_of(edges):
        return python_cache.receiver_index(edges.receiver, edges.sender, edges.receivers, edges.senders, False)

    edges = Edges.random()
    index_of(edges)
    held = len(python_cache._entries)
    del edges
    gc.collect()
    index_of(Edges.random())
    assert len(python_cache._entries) <= held


def test_inference_tensors_are_not_remembered():
    """They have no version counter that would tell of a change."""
    with torch.inference_mode():
        pair = Pair(MESSAGE, Edges.random())
        inputs = pair.inputs()
        pair.ours(*inputs)
        pair.edges.receiver.add_(1).remainder_(pair.edges.receivers)
        assert_close([pair.ours(*inputs)], [pair.e3nns(*inputs)])


@pytest.mark.parametrize("position", (0, 1))
def test_rows_out_of_range(position):
    pair = Pair(MESSAGE, Edges.random())
    pair.edges[position][3] = 7
    with pytest.raises(RuntimeError, match="edge 3 .*7"):
        pair.ours(*pair.inputs())


@pytest.mark.skipif(os.environ.get("FLASHTP_PYTHON_AUTOGRAD") == "1", reason="runs the other tests of this file")
def test_the_cache_in_python_does_the_same():
    run = subprocess.run([sys.executable, "-m", "pytest", "-q", "-x", __file__], capture_output=True, text=True,
                         env={**os.environ, "FLASHTP_PYTHON_AUTOGRAD": "1"})
    assert run.returncode == 0, run.stdout + run.stderr
