"""Which crystals make a batch, and how processes share it: every process works this out for itself, and all find the same."""
from itertools import islice

import numpy as np


def batches(count, size, steps, seed):
    """The numbers of the crystals of each step: epochs in a random order, incomplete batches left out."""
    def forever():
        random = np.random.default_rng(seed)
        while True:
            order = random.permutation(count)
            yield from (order[start:start + size].tolist() for start in range(0, count - size + 1, size))
    if size > count:
        raise ValueError(f"a batch of {size} crystals is larger than the set of {count}")
    return list(islice(forever(), steps))


def shares(numbers, edges, ranks):
    """A batch in as many parts, about equal in edges: from the largest on, each crystal goes to the part with the fewest so far."""
    parts, loads = [[] for _ in range(ranks)], [0] * ranks
    for number in sorted(numbers, key=lambda n: -edges[n]):
        least = loads.index(min(loads))
        parts[least].append(number)
        loads[least] += edges[number]
    return parts


def loads(numbers, edges, ranks):
    """The edges of each process's part."""
    return [sum(edges[number] for number in part) for part in shares(numbers, edges, ranks)]
