"""Trains a small equivariant potential on energies and forces of generated clusters, in one process or in several.

    python examples/python/train.py --steps 50
    torchrun --nproc-per-node 2 examples/python/train.py --steps 50

With several processes each takes its share of the batch (DistributedDataParallel; gloo on CPUs, nccl on GPUs) and the losses are
those of one process, up to rounding. Forces are gradients, so training takes second derivatives of the tensor products.
"""
import argparse
import os
import time

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

import flashtp

ATOMS, CLUSTERS, CUTOFF = 8, 16, 3.0
WARM_UP = 3  # steps that are not timed: kernels are compiled in the first
HIDDEN = "16x0e+16x1o"
# Scalars and vectors of the sender times the direction of the edge, as a scalar and a vector. Two paths a segment of the output.
MESSAGES = ("16x0e+16x1o", "0e+1o", "16x0e+16x0e+16x1o+16x1o",
            [(0, 0, 0, "uvu", True), (1, 1, 1, "uvu", True), (0, 1, 2, "uvu", True), (1, 0, 3, "uvu", True)])


class Layer(nn.Module):
    """One round of messages: weights from distances, the convolution, and a mixing of channels that keeps equivariance."""

    def __init__(self):
        super().__init__()
        self.conv = flashtp.TensorProductConv(*MESSAGES)
        self.radial = nn.Sequential(nn.Linear(8, 32), nn.SiLU(), nn.Linear(32, self.conv.weight_numel))
        self.scalars, self.vectors, self.gates = nn.Linear(32, 16), nn.Linear(32, 16, bias=False), nn.Linear(32, 16)

    def forward(self, x, harmonics, basis, receiver, sender):
        z = self.conv(x, harmonics, self.radial(basis), receiver, sender)
        scalars, vectors = z[:, :32], z[:, 32:].reshape(-1, 32, 3)
        mixed = self.vectors(vectors.transpose(1, 2)).transpose(1, 2) * torch.sigmoid(self.gates(scalars))[:, :, None]
        return x + torch.cat((nn.functional.silu(self.scalars(scalars)), mixed.flatten(1)), dim=1)


class Potential(nn.Module):
    """Energies [clusters] and forces [atoms, 3] of positions [atoms, 3]."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([Layer(), Layer()])
        self.energy = nn.Sequential(nn.Linear(16, 16), nn.SiLU(), nn.Linear(16, 1))

    def forward(self, positions, receiver, sender):
        positions = positions.requires_grad_()
        arrow = positions[sender] - positions[receiver]
        length = arrow.norm(dim=1, keepdim=True)
        harmonics = torch.cat((torch.ones_like(length), 3**0.5 * arrow / length), dim=1)
        smooth = torch.where(length < CUTOFF, torch.cos(torch.pi * length / CUTOFF) + 1, torch.zeros_like(length))
        basis = smooth * torch.exp(-4 * (length - torch.linspace(0.8, CUTOFF, 8, dtype=length.dtype, device=length.device)) ** 2)
        x = torch.ones(len(positions), 64, dtype=positions.dtype, device=positions.device)
        x[:, 16:] = 0
        for layer in self.layers:
            x = layer(x, harmonics, basis, receiver, sender)
        energies = self.energy(x[:, :16]).reshape(-1, ATOMS).sum(dim=1)
        forces, = torch.autograd.grad(-energies.sum(), positions, create_graph=True)
        return energies, forces


def generate(device):
    """Clusters near a grid with Morse energies and forces, and the edges shorter than the cutoff."""
    generator = torch.Generator().manual_seed(0)
    grid = 1.2 * torch.cartesian_prod(*[torch.arange(2.0)] * 3)
    positions = (grid + 0.15 * torch.randn(CLUSTERS, ATOMS, 3, generator=generator)).requires_grad_()
    pairs = torch.combinations(torch.arange(ATOMS))
    distances = (positions[:, pairs[:, 0]] - positions[:, pairs[:, 1]]).norm(dim=-1)
    energies = ((1 - torch.exp(-1.5 * (distances - 1.2))) ** 2 - 1).sum(dim=1)
    forces, = torch.autograd.grad(-energies.sum(), positions)
    return positions.detach().to(device), energies.detach().to(device), forces.to(device)


def edges_of(positions):
    near = torch.cdist(positions, positions) < CUTOFF
    near &= ~torch.eye(ATOMS, dtype=torch.bool, device=positions.device)
    cluster, receiver, sender = near.nonzero(as_tuple=True)
    return receiver + ATOMS * cluster, sender + ATOMS * cluster


def train(steps, device, rank, processes):
    positions, energies, forces = (t[rank::processes] for t in generate(device))
    receiver, sender = edges_of(positions)
    torch.manual_seed(0)
    model = Potential().to(device)
    parallel = DistributedDataParallel(model) if processes > 1 else model
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    started = time.perf_counter()
    for step in range(steps):
        if step == WARM_UP:
            started = time.perf_counter()
        found, pulls = parallel(positions.flatten(0, 1).clone(), receiver, sender)
        loss = (found - energies).square().mean() / ATOMS + (pulls.reshape_as(forces) - forces).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        shown = loss.detach() / processes
        if processes > 1:
            dist.all_reduce(shown)
        if rank == 0 and (step % 10 == 0 or step == steps - 1):
            print(f"step {step:4d}  loss {shown.item():.6f}", flush=True)
    shown.item()  # waits for the device
    if rank == 0 and steps > WARM_UP:
        rate = CLUSTERS * (steps - WARM_UP) / (time.perf_counter() - started)
        print(f"{processes} processes: {rate:.0f} clusters a second")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args()
    processes, rank = int(os.environ.get("WORLD_SIZE", 1)), int(os.environ.get("RANK", 0))
    device = torch.device(options.device, int(os.environ.get("LOCAL_RANK", 0))) if options.device == "cuda" else options.device
    if processes > 1:
        dist.init_process_group("nccl" if options.device == "cuda" else "gloo")
    train(options.steps, device, rank, processes)
    if processes > 1:
        dist.destroy_process_group()
        # Threads of gloo's live on in torch 2.13, since DistributedDataParallel keeps the group, and end the process when they need
        # the interpreter for dropping their last work while it shuts down: it is theirs for a moment first.
        time.sleep(0.2)


if __name__ == "__main__":
    main()
