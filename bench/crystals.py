"""Generated training data: perturbed crystals of 20 to 200 atoms with the energies, forces and stresses of a Morse potential.

A crystal depends on its number and the seed alone, so all processes make the same ones. How a batch is shared among processes
changes neither its loss nor its gradient but for rounding.
"""
from dataclasses import dataclass
from itertools import product
from math import prod

import ase.build
import numpy as np
import sevenn._keys as KEY
from sevenn.atom_graph_data import AtomGraphData
from sevenn.train.dataload import unlabeled_atoms_to_graph
from torch_geometric.data import Batch

SIZES = (20, 200)
# Sizes are log-normal between the two, as in collections of relaxed crystals: many small ones, and a long tail.
MEDIAN, SPREAD = 45, 0.6
PROTOTYPES = (("Cu", "fcc", 3.61), ("Al", "fcc", 4.05), ("W", "bcc", 3.16), ("Si", "diamond", 5.43), ("GaAs", "zincblende", 5.65),
              ("MgO", "rocksalt", 4.21), ("NaCl", "rocksalt", 5.64), ("NiAl", "cesiumchloride", 2.89))
NEAREST = {"fcc": 2**-0.5, "bcc": 0.75**0.5, "cesiumchloride": 0.75**0.5, "rocksalt": 0.5, "diamond": 0.1875**0.5,
           "zincblende": 0.1875**0.5}  # neighbour, as a part of the lattice constant


def crystal(number, seed, sizes=SIZES):
    """ASE's atoms, and the distance at which their Morse potential has its minimum."""
    random = np.random.default_rng((seed, number))
    name, lattice, constant = PROTOTYPES[random.integers(len(PROTOTYPES))]
    unit = ase.build.bulk(name, lattice, constant, cubic=True)
    atoms = unit * repeats(len(unit), np.clip(random.lognormal(np.log(MEDIAN), SPREAD), *sizes), sizes)
    atoms.set_cell(atoms.cell @ (np.eye(3) + 0.02 * random.standard_normal((3, 3))), scale_atoms=True)
    atoms.rattle(0.08, rng=random)
    return atoms, NEAREST[lattice] * constant


def repeats(unit, wanted, sizes):
    """How often a unit cell is repeated in each direction, so that about `wanted` atoms come out; of equals the most cubic."""
    shapes = [shape for shape in product(range(1, 10), repeat=3) if sizes[0] <= unit * prod(shape) <= sizes[1]]
    return min(shapes, key=lambda shape: (abs(unit * prod(shape) - wanted), max(shape) - min(shape)))


def morse(vectors, sender, receiver, atoms, volume, minimum, depth=0.3, steepness=1.6):
    """Energy, forces and stress, of pairs within the cutoff. Every pair is there in both directions: half of it each."""
    lengths = np.linalg.norm(vectors, axis=1)
    decay = np.exp(-steepness * (lengths - minimum))
    pulls = depth * steepness * (decay - decay**2) / lengths
    forces = np.zeros((atoms, 3))
    np.add.at(forces, sender, pulls[:, None] * vectors)
    np.add.at(forces, receiver, -pulls[:, None] * vectors)
    stress = np.einsum("e,ea,eb->ab", pulls, vectors, vectors) / volume
    return depth * (decay**2 - 2 * decay).sum() / 2, forces, stress


def labelled(number, seed, cutoff, sizes):
    atoms, minimum = crystal(number, seed, sizes)
    graph = unlabeled_atoms_to_graph(atoms, cutoff)
    energy, forces, stress = morse(graph[KEY.EDGE_VEC], *graph[KEY.EDGE_IDX], len(atoms), atoms.cell.volume, minimum)
    # SevenNet's order, xx yy zz xy yz zx, and VASP's sign.
    graph[KEY.STRESS] = -stress[[0, 1, 2, 0, 1, 2], [0, 1, 2, 1, 2, 0]].reshape(1, 6)
    graph.update({KEY.ENERGY: np.array(energy), KEY.FORCE: forces, KEY.PER_ATOM_ENERGY: np.array(energy / len(atoms))})
    return AtomGraphData.from_numpy_dict(graph)


def graphs(count, seed, cutoff, sizes=SIZES):
    return [labelled(number, seed, cutoff, sizes) for number in range(count)]


def edges_of(graph):
    return graph[KEY.EDGE_IDX].shape[1]


def atoms_of(graph):
    return int(graph[KEY.NUM_ATOMS])


@dataclass
class Share:
    """One process's part of a batch. The two fractions are its parts of the batch's crystals and of its atoms."""
    graph: Batch
    of_crystals: float
    of_atoms: float

    @property
    def edges(self):
        return edges_of(self.graph)


def share(data, numbers, part, device):
    graph = Batch.from_data_list([data[number] for number in part])
    atoms = sum(atoms_of(data[number]) for number in numbers)
    return Share(graph.to(device), len(part) / len(numbers), float(graph[KEY.NUM_ATOMS].sum()) / atoms)
