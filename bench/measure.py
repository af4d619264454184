"""Times in microseconds, memory in bytes, and the state of the device."""
import json
import os
import signal
import statistics
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

import torch

from cases import ROOT

class Cpu:
    name, warm_up = "cpu", 1
    # Other programs may share the cores, so libraries take turns: what disturbs one disturbs all.
    in_turns = True

    def description(self):
        models = [line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")]
        return f"{models[0] if models else 'CPU'}, {torch.get_num_threads()} threads"

    def state(self):
        return {"load": os.getloadavg()[0]}

    def cache_bytes(self):
        sizes = [path.read_text().strip() for path in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size")]
        return max((1024 * int(size.removesuffix("K")) for size in sizes), default=0)

    def time(self, function):
        time.sleep(0.01)  # the threads of the library before it still spin, and there are as many as cores
        start = time.perf_counter()
        function()
        return 1e6 * (time.perf_counter() - start)

    def kernel_time(self, function, repeats):
        return None

    def host_time(self, function, repeats):
        return None

    def extra_bytes(self, function):
        function()
        return None

    def reset_peak(self):
        pass

    def peak_bytes(self):
        return None

    def empty_cache(self):
        pass


class Cuda:
    name, warm_up = "cuda", 3
    # Each alone: what autograd keeps for one library would leave no memory for the next.
    in_turns = False

    def description(self):
        return torch.cuda.get_device_name()

    def state(self):
        """Clocks in MHz, degrees, watts, and why clocks are low, as nvidia-smi says."""
        keys = ("clocks.sm", "clocks.mem", "clocks.max.sm", "temperature.gpu", "power.draw", "clocks_event_reasons.active",
                "driver_version")
        command = ["nvidia-smi", f"--query-gpu={','.join(keys)}", "--format=csv,noheader,nounits"]
        try:
            line = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout.splitlines()[0]
        except (OSError, subprocess.SubprocessError, IndexError):
            return {}
        return dict(zip(keys, line.split(", ")))

    def cache_bytes(self):
        return torch.cuda.get_device_properties(0).L2_cache_size

    def time(self, function):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in "ab")
        torch.cuda.synchronize()
        start.record()
        function()
        end.record()
        torch.cuda.synchronize()
        return 1e3 * start.elapsed_time(end)

    def kernel_time(self, function, repeats):
        """The device's own time a call: kernels, copies and fills, without the gaps between them."""
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
            for _ in range(repeats):
                function()
            torch.cuda.synchronize()
        return sum(event.self_device_time_total for event in profile.key_averages()) / repeats

    def host_time(self, function, repeats):
        """Until a call returns, the device idle before it."""
        times = []
        for _ in range(repeats):
            torch.cuda.synchronize()
            start = time.perf_counter()
            function()
            times.append(1e6 * (time.perf_counter() - start))
        torch.cuda.synchronize()
        return statistics.median(times)

    def extra_bytes(self, function):
        """The most memory that was in use while `function` ran, beyond what was in use before."""
        self.empty_cache()
        self.reset_peak()
        before = torch.cuda.memory_allocated()
        function()
        return self.peak_bytes() - before

    def reset_peak(self):
        torch.cuda.reset_peak_memory_stats()

    def peak_bytes(self):
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated()

    def empty_cache(self):
        torch.cuda.empty_cache()


DEVICES = {"cpu": Cpu(), "cuda": Cuda()}


@contextmanager
def time_limit(seconds):
    """TimeoutError in the body after so long; native code that runs then returns first. For the main thread alone."""
    def expire(*_):
        raise TimeoutError(f"took longer than {seconds:g} s")
    before = signal.signal(signal.SIGALRM, expire)
    signal.setitimer(signal.ITIMER_REAL, min(seconds, 1e9))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def repeats(microseconds, most):
    """Slow functions are repeated less often: two seconds, but at least three times."""
    return max(3, min(most, int(2e6 / microseconds)))


def times(device, functions, most, statistic=statistics.median):
    """Of each of the functions, taken in turns after runs that do not count."""
    slowest = max((device.time(function) for _ in range(device.warm_up) for function in functions.values()), default=1)
    measured = {name: [] for name in functions}
    for _ in range(repeats(slowest, most)):
        for name, function in functions.items():
            measured[name].append(device.time(function))
    return {name: statistic(values) for name, values in measured.items()}


def peaks(device):
    """Copied bytes and FLOPs a second, as flashtp-compile measures them; empty where that program is not to be found."""
    library = os.environ.get("FLASHTP_LIBRARY") or ROOT / "build/release/lib/libflashtp.so"
    program = Path(library).parent.parent / "bin/flashtp-compile"
    command = [program, "bench", ROOT / "docs/tour.json", "--target", device.name, "--orders", "0", "--edges", "64", "--json"]
    if device.name == "cpu":
        command += ["--threads", str(torch.get_num_threads())]
    if not program.exists():
        return {}
    result = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)["results"][0]
    return {"bytes_per_second": result["copy_bytes_per_second"], "flops_per_second": result["fma_flops_per_second"]}
