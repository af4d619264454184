"""Training of SevenNet by several processes, as its released configuration says: Adam, Huber losses of energy, forces and stress.

Gradients are averaged by DistributedDataParallel, with each process's losses weighted by its part of the batch, so a batch has the
same gradient whatever its division.
"""
import time
import warnings
from contextlib import nullcontext

import torch
import torch.distributed as dist
from sevenn.train.loss import ForceLoss, get_loss_functions_from_config
from torch.nn.parallel import DistributedDataParallel

import sevennet_model


def loss_functions():
    functions = get_loss_functions_from_config(sevennet_model.checkpoint().config)
    for definition, _ in functions:
        definition.ignore_unlabeled = False  # all data is labelled, and looking waits for the device
    return functions


class Trainer:
    """The processes of a group train one model."""

    def __init__(self, model, group, learning_rate):
        self.group, self.model = group, model
        if group.count > 1:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", FutureWarning)  # newer torch calls the argument forward_sync_buffers
                # Buffers are constants: without them only gradients travel.
                self.model = DistributedDataParallel(model, process_group=group.handle, broadcast_buffers=False,
                                                     gradient_as_bucket_view=True)
        parameters = [p for p in model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.Adam(parameters, lr=learning_rate)
        self.loss_functions = loss_functions()

    def alone(self):
        """A context in which gradients stay in their process."""
        return self.model.no_sync() if self.group.count > 1 else nullcontext()

    def backward(self, share):
        """Returns this process's part of the loss."""
        out = self.model(share.graph.clone())
        loss = sum(weight * (share.of_atoms if isinstance(definition, ForceLoss) else share.of_crystals) *
                   definition.get_loss(out, self.model) for definition, weight in self.loss_functions)
        (loss * self.group.count).backward()
        return loss.detach()

    def step(self, share):
        self.optimizer.zero_grad()
        loss = self.backward(share)
        self.optimizer.step()
        return loss

    def failure(self, share):
        """Why a step fails in this process, or "". To be tried before processes wait for each other in a step."""
        try:
            with self.alone():
                self.backward(share)
        except Exception as error:  # memory, or whatever a peer does
            return f"{type(error).__name__}: {error}".splitlines()[0][:200]
        finally:
            self.optimizer.zero_grad()
        return ""


def timed_steps(trainer, shares):
    """This process's seconds for the steps, which all processes of the group begin together, and its parts of the losses."""
    trainer.group.wait()
    start = time.perf_counter()
    losses = [trainer.step(share) for share in shares]
    trainer.group.finish()
    return time.perf_counter() - start, losses


def all_reduce_seconds(count, group, repeats=20):
    """Of one all-reduce of `count` numbers, with nothing else to do."""
    numbers = torch.zeros(count, device=group.device)
    for _ in range(3):
        dist.all_reduce(numbers, group=group.handle)
    group.wait()
    start = time.perf_counter()
    for _ in range(repeats):
        dist.all_reduce(numbers, group=group.handle)
    group.finish()
    return (time.perf_counter() - start) / repeats
