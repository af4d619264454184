"""Parts of a model's life: copies, files, checkpointing, autocast, several processes."""
import copy
import io
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from layers import MESSAGE, MODES, Edges, Pair, assert_close
from torch.utils.checkpoint import checkpoint

import flashtp


def saved_and_loaded(module):
    file = io.BytesIO()
    torch.save(module, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


@pytest.mark.parametrize("duplicate", (copy.deepcopy, saved_and_loaded))
def test_copies(duplicate):
    pair = Pair(MESSAGE, Edges.random())
    inputs = pair.inputs()
    before = pair.ours(*inputs)
    pair.conv = duplicate(pair.conv)
    assert_close([pair.ours(*inputs)], [before])
    module = flashtp.TensorProduct(*MODES["mixed"])
    x, y = torch.randn(2, module.irreps_in1.dim), torch.randn(2, module.irreps_in2.dim)
    assert_close([duplicate(module)(x, y)], [module(x, y)])


def test_activation_checkpointing():
    pair = Pair(MESSAGE, Edges.random())
    inputs = pair.inputs()
    ours = torch.autograd.grad(checkpoint(pair.ours, *inputs, use_reentrant=False).pow(2).sum(), inputs)
    assert_close(ours, torch.autograd.grad(pair.e3nns(*inputs).pow(2).sum(), inputs))


@pytest.mark.parametrize("dtype", (torch.bfloat16, torch.float16))
def test_autocast_computes_in_float32(dtype):
    """16-bit inputs are widened, gradients come back in the inputs' dtypes, float64 stays."""
    pair = Pair(MESSAGE, Edges.random(), torch.float32)
    inputs = [t.detach().to(dtype).requires_grad_() for t in pair.inputs()]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        z = pair.ours(*inputs)
        double = Pair(MESSAGE, pair.edges)
        assert double.ours(*double.inputs()).dtype == torch.float64
    assert z.dtype == torch.float32
    assert_close([z.double()], [Pair(MESSAGE, pair.edges).e3nns(*(t.double() for t in inputs))], 1e-6)
    gradients = torch.autograd.grad(z.sum(), inputs)
    assert [g.dtype for g in gradients] == [dtype] * 3
    with pytest.raises(ValueError, match="float32 or float64"):
        pair.ours(*inputs)


def test_moving_a_module_changes_its_dtype():
    module = flashtp.TensorProduct(*MODES["mixed"])
    x, y = torch.randn(2, module.irreps_in1.dim), torch.randn(2, module.irreps_in2.dim)
    exact = module(x, y)
    single = copy.deepcopy(module).float()(x.float(), y.float())
    assert single.dtype == torch.float32
    assert_close([single.double()], [exact], 1e-6)


WORKER = """
import sys, time, torch, torch.distributed as dist, flashtp
rank = int(sys.argv[1])
dist.init_process_group("gloo", init_method=sys.argv[2], rank=rank, world_size=2)
torch.manual_seed(3)
model = flashtp.TensorProduct("4x0e+4x1o", "0e+1o", "4x0e+4x1o", [(0, 0, 0, "uvu", True), (1, 1, 0, "uvu", True), (0, 1, 1, "uvu", True)])
x, y = torch.randn(6, 16), torch.randn(6, 4)
parallel = torch.nn.parallel.DistributedDataParallel(model)
parallel(x[rank::2], y[rank::2]).pow(2).mean().backward()
shared = model.weight.grad.clone()
model.weight.grad = None
model(x, y).pow(2).mean().backward()
assert torch.allclose(shared, model.weight.grad, atol=1e-6), (shared, model.weight.grad)
dist.destroy_process_group()
time.sleep(0.2)  # for gloo's threads, as in examples/python/train.py
"""


def test_two_processes_train_as_one(tmp_path):
    """DDP with gloo; both processes compile the same kernels into one cache at the same time."""
    environment = {**os.environ, "FLASHTP_CACHE_DIR": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", WORKER]
    address = f"file://{tmp_path}/rendezvous"
    workers = [subprocess.Popen([*command, str(rank), address], env=environment, stderr=subprocess.PIPE, text=True) for rank in (0, 1)]
    errors = [worker.communicate(timeout=120)[1] for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0], "\n".join(errors)


def losses_of_the_example(*launcher):
    example = Path(__file__).resolve().parents[3] / "examples/python/train.py"
    run = subprocess.run([sys.executable, *launcher, example, "--steps", "12", "--device", "cpu"], capture_output=True, text=True,
                         timeout=300, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert run.returncode == 0, run.stderr
    assert "clusters a second" in run.stdout
    return torch.tensor([float(loss) for loss in re.findall(r"loss ([\d.]+)", run.stdout)])


def test_the_example_has_one_loss_curve_for_any_number_of_processes():
    """Of the same global batch, in float32."""
    alone = losses_of_the_example()
    together = losses_of_the_example("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    assert len(alone) == 3 and alone[-1] < alone[0] / 10
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=2e-6)
