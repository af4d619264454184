"""vmap: copies of a problem that run as one larger problem, or one after the other where they share what they produce."""
import torch

from .specification import facts


def run_batched(run, request, size, operands, index, in_dims):
    """The outputs of ``size`` copies of a request, stacked first. ``in_dims`` says where the copies are, None for what they share."""
    if len(index) > 3:
        raise NotImplementedError("flashtp: vmap does not go through calls with num_edges; give all edges")
    tensors = (*operands, *index)
    if size == 0:
        one = [t if dim is None else t.new_zeros(t.movedim(dim, 0).shape[1:]) for t, dim in zip(tensors, in_dims)]
        outputs = run(one[:len(operands)], one[len(operands):], request)
        return tuple(t.new_empty(0, *t.shape) for t in outputs)
    tensors = [t.expand(size, *t.shape) if dim is None else t.movedim(dim, 0) for t, dim in zip(tensors, in_dims)]
    operands, index = tensors[:len(operands)], tensors[len(operands):]
    # Shared weights have one row for all edges, so copies that differ in them, or in their gradient, are no larger problem.
    if facts(request.problem).shared_rows:
        copies = [run([t[b] for t in operands], [t[b] for t in index], request) for b in range(size)]
        return tuple(torch.stack(outputs) for outputs in zip(*copies))
    folded = run([t.flatten(0, 1) for t in operands], _fold_index(index, operands[0].shape[1]), request)
    return tuple(t.unflatten(0, (size, t.shape[0] // size)) for t in folded)


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
