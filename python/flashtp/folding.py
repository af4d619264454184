"""vmap: copies of a problem that run as one larger problem, or one after the other where they share what they produce."""
import torch

from .specification import facts


def run_batched(run, request, size, operands, index, in_dims):
    """The outputs of ``size`` copies of a request, stacked first. ``in_dims`` says where the copies are, None for what they share."""
    tensors = [torch.movedim(t, dim, 0) if dim is not None else t.expand(size, *t.shape)
               for t, dim in zip((*operands, *index), in_dims)]
    operands, index = tensors[:len(operands)], tensors[len(operands):]
    # Shared weights have one row for all edges, so copies that differ in them, or in their gradient, are no larger problem.
    if size == 0 or facts(request.problem).shared_weights:
        return _one_by_one(run, request, size, operands, index)
    folded = run([t.reshape(-1, t.shape[-1]) for t in operands], _fold_index(index, operands[0].shape[1]), request)
    return tuple(t.reshape(size, -1, t.shape[-1]) for t in folded)


def _one_by_one(run, request, size, operands, index):
    if size == 0:
        one = run([t.new_empty(t.shape[1:]) for t in operands], [t.new_zeros(t.shape[1:]) for t in index], request)
        return tuple(t.new_empty(0, *t.shape) for t in one)
    copies = [run([t[b] for t in operands], [t[b] for t in index], request) for b in range(size)]
    return tuple(torch.stack(outputs) for outputs in zip(*copies))


def _fold_index(index, senders):
    """The index of copies side by side: copy b has its rows after those of copy b - 1."""
    if not index:
        return []
    row_ptr, sender, edge = index
    size, edges = sender.shape
    copy = torch.arange(size, device=sender.device, dtype=sender.dtype)[:, None]
    starts = (row_ptr[:, :-1] + copy * edges).reshape(-1)
    end = torch.full((1,), size * edges, device=row_ptr.device, dtype=row_ptr.dtype)
    return [torch.cat([starts, end]), (sender + copy * senders).reshape(-1), (edge + copy * edges).reshape(-1)]
