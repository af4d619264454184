"""The released SevenNet-l3i5 model with each back end that SevenNet has a place for."""
from functools import cache, partial
from pathlib import Path

import torch

import whole_models

# The argument of build_model, and the package it needs besides. The last one comes last also where it is measured: it changes what
# SevenNet does for FlashTP.
BACKENDS = {"e3nn": ({}, "e3nn"), "FlashTP": ({"enable_flash": True}, "flashTP_e3nn"),
            "OpenEquivariance": ({"enable_oeq": True}, "openequivariance"),
            "cuEquivariance": ({"enable_cueq": True}, "cuequivariance_torch"),
            "flashtp convolutions": ({"enable_flash": True}, "torch"), "flashtp fused": ({"enable_flash": True}, "torch"),
            "flashtp unfused": ({"enable_flash": True}, "torch"), "flashtp": ({"enable_flash": True}, "torch")}
# Whether the last radial layer is the convolution's; by default it depends on the size.
RADIAL = {"flashtp fused": True, "flashtp unfused": False}
ON_CPUS = ("e3nn", "flashtp convolutions", *RADIAL, "flashtp")


def available(backends, device):
    return whole_models.available(backends, {name: package for name, (_, package) in BACKENDS.items()}, ON_CPUS, device)


@cache
def checkpoint():
    import sevenn
    from sevenn.checkpoint import SevenNetCheckpoint
    return SevenNetCheckpoint(str(Path(sevenn.__file__).parent / "pretrained_potentials/SevenNet_l3i5/checkpoint_l3i5.pth"))


def build(backend, device):
    import sevenn.nn.flash_helper as slot
    if backend.startswith("flashtp"):
        from flashtp.integrations import sevennet
        sevennet.enable(only_convolutions=backend == "flashtp convolutions", radial=RADIAL.get(backend))
    elif backend == "FlashTP":
        import flashTP_e3nn
        # Its table of devices does not know the H200.
        shared = torch.cuda.get_device_properties(0).shared_memory_per_block_optin // 1024
        slot.uvu_TP = partial(flashTP_e3nn.uvu_TP, smem_size=shared)
    return checkpoint().build_model(**BACKENDS[backend][0]).to(device)
