"""Programs of this library through the C API: the measure of what PyTorch costs on top, and the source of operation counts."""
import ctypes as c
import json
import sys

import torch

from cases import INPUTS, OUTPUTS, ROOT

sys.path.insert(0, str(ROOT / "tests/python"))
import flashtp_ctypes as flashtp  # noqa: E402

lib, check = flashtp.lib, flashtp.check


class Launch:
    """One order of a case on operands and outputs that exist. Calling it enqueues the kernels (CPU: runs them)."""
    engine = None

    def __init__(self, case, order, index):
        if Launch.engine is None:
            Launch.engine = flashtp.Engine(cache=None, threads=torch.get_num_threads())
        self.cuda = case.graph.sender.is_cuda
        spec = {**case.layer.spec, "dtype": str(case.dtype).removeprefix("torch.")}
        self.program = Launch.engine.compile(spec, order, target="cuda" if self.cuda else "cpu")
        outputs = [torch.empty(case.shape(name), dtype=case.dtype, device=case.graph.sender.device) for name in OUTPUTS[order]]
        self.kept = [case.values[name] for name in INPUTS[order]] + outputs + list(index)
        row_ptr, sender, edge = (tensor.data_ptr() for tensor in index)
        graph = flashtp.GraphStruct(edges=case.graph.edges, senders=case.graph.nodes, receivers=case.graph.nodes, row_ptr=row_ptr,
                                    sender=sender, edge=edge if case.graph.edge_order != "receiver" else None)
        operands = self.kept[:-len(index)]
        pointers = (c.c_void_p * len(operands))(*(tensor.data_ptr() for tensor in operands))
        self.arguments = (self.program.handle, pointers, c.c_int32(len(operands)), c.byref(graph))

    def __call__(self):
        if self.cuda:
            check(lib.flashtp_launch_cuda(*self.arguments, c.c_void_p(torch.cuda.current_stream().cuda_stream)))
        else:
            check(lib.flashtp_run_cpu(*self.arguments, c.c_int32(0)))

    def multiply_adds_per_edge(self):
        text = c.c_char_p()
        check(lib.flashtp_program_explain(self.program.handle, c.c_int32(1), c.byref(text)))
        return json.loads(text.value)["cost"]["multiply_adds_per_edge"]
