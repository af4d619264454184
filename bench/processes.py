"""The processes that torchrun started: their devices, and what they tell each other. Works in a single process as well."""
import ctypes
import os
import socket
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist


@dataclass(frozen=True)
class Group:
    """The first `count` processes. One process alone waits for nobody."""
    count: int
    device: torch.device
    handle: object = None

    def finish(self):
        """Waits for this process's device."""
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def wait(self):
        """Until all processes are here."""
        if self.count > 1:
            dist.all_reduce(torch.zeros(1, device=self.device), group=self.handle)
        self.finish()

    def gather(self, value):
        """The values of all processes, in their order."""
        values = [value] * self.count
        if self.count > 1:
            dist.all_gather_object(values, value, group=self.handle)
        return values


class Processes:
    def __init__(self, kind):
        self.rank, self.count = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
        self.local_rank = int(os.environ.get("LOCAL_RANK", 0))
        self.device = torch.device(kind, self.local_rank) if kind == "cuda" else torch.device(kind)
        if kind == "cuda":
            torch.cuda.set_device(self.device)
        if self.count > 1:
            # Processes wait while fewer of them are measured.
            dist.init_process_group("nccl" if kind == "cuda" else "gloo", timeout=timedelta(minutes=30),
                                    device_id=self.device if kind == "cuda" else None)
        self.all = Group(self.count, self.device, dist.group.WORLD if self.count > 1 else None)
        self.groups = {1: Group(1, self.device), self.count: self.all}

    def group(self, count):
        """Of the first `count` processes. All processes ask for it, also those that are not in it."""
        if count not in self.groups:
            self.groups[count] = Group(count, self.device, dist.new_group(range(count)))
        return self.groups[count]

    def close(self):
        if self.count > 1:
            dist.destroy_process_group()

    def where(self):
        """This process's device, and all devices on which it has a CUDA context: those should be one and the same."""
        place = {"rank": self.rank, "host": socket.gethostname(), "device": str(self.device), "contexts": contexts()}
        if self.device.type == "cuda":
            place["uuid"] = str(torch.cuda.get_device_properties(self.device).uuid)
        return place


def contexts():
    """The numbers of the CUDA devices whose primary context is active in this process."""
    if not torch.cuda.is_initialized():
        return []
    driver, active = ctypes.CDLL("libcuda.so.1"), []
    for number in range(torch.cuda.device_count()):
        device, flags, state = ctypes.c_int(), ctypes.c_uint(), ctypes.c_int()
        driver.cuDeviceGet(ctypes.byref(device), number)
        driver.cuDevicePrimaryCtxGetState(device, ctypes.byref(flags), ctypes.byref(state))
        active += [number] if state.value else []
    return active
