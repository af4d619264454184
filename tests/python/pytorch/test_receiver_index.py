"""The index of a list of edges: shared by layers, and never out of date."""
import gc

import torch
from layers import MESSAGE, Edges, Pair, assert_close

from flashtp import receiver_index as cache


def index_of(edges):
    return cache.receiver_index(edges.receiver, edges.sender, edges.receivers, edges.senders)


def test_the_index_groups_edges_by_receiver():
    edges = Edges.random(40)
    row_ptr, sender, edge = index_of(edges)
    order = torch.argsort(edges.receiver, stable=True)
    assert edge.tolist() == order.tolist()
    assert sender.tolist() == edges.sender[order].tolist()
    assert row_ptr.tolist() == [int((edges.receiver < r).sum()) for r in range(edges.receivers + 1)]


def test_sorted_edges_need_no_permutation():
    pair = Pair(MESSAGE, Edges(torch.tensor([0, 0, 2, 3, 3]), torch.tensor([4, 1, 0, 0, 2]), 4, 5))
    assert index_of(pair.edges)[2].numel() == 0
    inputs = pair.inputs()
    assert_close([pair.ours(*inputs)], [pair.e3nns(*inputs)])


def test_equal_views_of_one_tensor_share_an_index():
    """Models take the rows of an edge_index anew in every layer."""
    both = torch.stack((torch.randint(4, (9,)), torch.randint(4, (9,))))
    first = cache.receiver_index(both[0], both[1], 4, 4)
    assert cache.receiver_index(both[0], both[1], 4, 4)[0] is first[0]
    assert cache.receiver_index(both[1], both[0], 4, 4)[0] is not first[0]
    assert cache.receiver_index(both[0], both[1], 5, 4)[0] is not first[0]


def test_edges_changed_in_place_get_a_new_index():
    pair = Pair(MESSAGE, Edges.random())
    x, y, w = pair.inputs()
    pair.ours(x, y, w)
    pair.edges.receiver.add_(1).remainder_(pair.edges.receivers)
    assert_close([pair.ours(x, y, w)], [pair.e3nns(x, y, w)])


def test_memory_that_is_used_again_gets_a_new_index():
    """A freed list of edges and the next one often have one address."""
    for _ in range(20):
        pair = Pair(MESSAGE, Edges.random())
        inputs = pair.inputs()
        assert_close([pair.ours(*inputs)], [pair.e3nns(*inputs)])
        del pair, inputs


def test_the_index_is_dropped_with_the_edges():
    edges = Edges.random()
    index_of(edges)
    held = len(cache._entries)
    del edges
    gc.collect()
    index_of(Edges.random())
    assert len(cache._entries) <= held


def test_inference_tensors_are_not_remembered():
    """They have no version counter that would tell of a change."""
    with torch.inference_mode():
        pair = Pair(MESSAGE, Edges.random())
        inputs = pair.inputs()
        pair.ours(*inputs)
        pair.edges.receiver.add_(1).remainder_(pair.edges.receivers)
        assert_close([pair.ours(*inputs)], [pair.e3nns(*inputs)])
