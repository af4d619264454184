"""What runs in this process, in words and as counters: nothing falls back without saying so here."""
import torch

from . import _library

CACHE_COUNTS = ("hits", "misses", "stored", "lock_timeouts")


def cache_counts() -> dict[str, int]:
    """What this process did with the kernel cache on disk. ``stored`` is the number of kernels that it compiled."""
    return dict(zip(CACHE_COUNTS, torch.ops.flashtp.cache_counts()))


def explain() -> str:
    """Which libraries are in use, where derivatives are computed and why, and what ran so far."""
    why = _library.WHY_PYTHON_AUTOGRAD
    counts = ", ".join(f"{value} {name.replace('_', ' ')}" for name, value in cache_counts().items())
    return "\n".join((f"libraries: {_library.DIRECTORY}",
                      f"torch {torch.__version__}; derivatives in {f'Python: {why}' if why else 'C++'}; modules call "
                      f"{'kernels directly' if _library.FAST_CALL is not None else 'torch.ops'}",
                      f"calls that ran kernels: {torch.ops.flashtp.launch_count()}",
                      f"kernel cache: {counts}"))
