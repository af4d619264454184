"""Edges grouped by receiver. All layers that are given the same edges share one index."""
import os
import weakref
from collections import OrderedDict
from typing import NamedTuple, Optional

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef

_build = torch.ops.flashtp.receiver_index.default
_CAPACITY = 16


class _Entry(NamedTuple):
    storages: tuple[StorageWeakRef, StorageWeakRef]
    index: list[Tensor]


class _Recent(NamedTuple):
    """The last pair of tensors: looking at them again is a tenth of finding their memory among the entries."""

    receiver: "weakref.ref[Tensor]"
    sender: "weakref.ref[Tensor]"
    state: tuple
    index: list[Tensor]


_entries: "OrderedDict[tuple, _Entry]" = OrderedDict()
_recent: Optional[_Recent] = None


def plain_index(receiver: Tensor, sender: Tensor, receivers: int, senders: int, by_sender: bool) -> list[Tensor]:
    """``receiver_index`` where nothing is traced or transformed."""
    global _recent
    recent = _recent
    if (recent is not None and recent.receiver() is receiver and recent.sender() is sender
            and recent.state == _state(receiver, sender, receivers, senders, by_sender)):
        return recent.index
    index = receiver_index(receiver, sender, receivers, senders, by_sender)
    if _may_keep(receiver, sender):
        _recent = _Recent(weakref.ref(receiver), weakref.ref(sender), _state(receiver, sender, receivers, senders, by_sender), index)
    return index


def _state(receiver: Tensor, sender: Tensor, receivers: int, senders: int, by_sender: bool) -> tuple:
    """What may change of two tensors that stay the same objects. None in the place of a stream that is captured."""
    return (receiver._version, sender._version, receiver.data_ptr(), sender.data_ptr(), receiver.shape, receivers, senders, by_sender,
            _stream(receiver) if receiver.is_cuda else 0)


def _stream(tensor: Tensor) -> Optional[int]:
    return None if torch._C._cuda_isCurrentStreamCapturing() else torch._C._cuda_getCurrentRawStream(tensor.get_device())


def receiver_index(receiver: Tensor, sender: Tensor, receivers: int, senders: int, by_sender: bool) -> list[Tensor]:
    """row_ptr, sender and edge as int32 (see flashtp_graph in flashtp.h), from rows [edges] of int32 or int64. ``edge`` may be empty
    where the edges are sorted by receiver: kernels then read edge rows in their order, which is faster. ``by_sender``: edges of one
    receiver are in the order of their senders, not in the order they have here.

    The index is kept as long as the memory of receiver and sender is, and found again for tensors that are the same part of the same
    memory, unless they were changed in place meanwhile.
    """
    if not _may_keep(receiver, sender):
        return list(_build(receiver, sender, receivers, senders, by_sender)[:3])
    key = (_identity(receiver), _identity(sender), receivers, senders, by_sender)
    entry = _entries.get(key)
    # A storage that a weak reference points to has an address of its own, also after its memory is gone.
    if entry is not None and not any(storage.expired() for storage in entry.storages):
        return entry.index
    *index, report = _build(receiver, sender, receivers, senders, by_sender)
    if not receiver.is_cuda or os.environ.get("FLASHTP_CHECK_EDGES") != "0":
        index = _examined(index, report, receiver, sender, senders)
    _remember(key, _Entry((StorageWeakRef(receiver.untyped_storage()), StorageWeakRef(sender.untyped_storage())), index))
    return index


def counted_index(receiver: Tensor, sender: Tensor, receivers: int, senders: int, by_sender: bool, num_edges: Tensor) -> list[Tensor]:
    """The same of the first ``num_edges`` edges, and that number as a fourth tensor. Not kept, and not examined on a GPU: it is for
    graphs that are captured, which make it anew in every replay."""
    return [*_build(receiver, sender, receivers, senders, by_sender, num_edges)[:3], num_edges]


def _may_keep(receiver: Tensor, sender: Tensor) -> bool:
    """Not while something is traced or transformed, and not without version counters."""
    return (type(receiver) is Tensor and type(sender) is Tensor and not torch.compiler.is_compiling()
            and torch._C._len_torch_dispatch_stack() == 0 and torch._C._functorch.peek_interpreter_stack() is None
            and not receiver.is_inference() and not sender.is_inference()
            and not (receiver.is_cuda and torch.cuda.is_current_stream_capturing()))


def _identity(tensor: Tensor) -> tuple:
    stream = _stream(tensor) if tensor.is_cuda else None
    return (tensor.untyped_storage()._cdata, tensor.storage_offset(), tensor.shape, tensor.stride(), tensor.dtype,
            tensor._version, stream)


def _examined(index: list[Tensor], report: Tensor, receiver: Tensor, sender: Tensor, senders: int) -> list[Tensor]:
    """The index, without ``edge`` where the edges were sorted. On a GPU this waits for it, once for each list of edges."""
    invalid, unsorted = report.tolist()
    if invalid >= 0:
        raise RuntimeError(f"flashtp: edge {invalid} has receiver {int(receiver[invalid])} and sender {int(sender[invalid])}; there "
                           f"are {index[0].shape[0] - 1} receivers and {senders} senders")
    return index if unsorted else [*index[:2], index[2][:0]]


def _remember(key: tuple, entry: _Entry) -> None:
    for old in [k for k, e in list(_entries.items()) if any(storage.expired() for storage in e.storages)]:
        _entries.pop(old, None)
    while len(_entries) >= _CAPACITY:
        _entries.popitem(last=False)
    _entries[key] = entry
