"""This library under autograd, as thin as it can be: the C API behind one torch.autograd.Function for all orders."""
import ctypes as c
import json
import sys

import torch

from cases import ROOT

sys.path.insert(0, str(ROOT / "tests/python"))
import flashtp_ctypes as flashtp  # noqa: E402

lib, check = flashtp.lib, flashtp.check


def address(tensor):
    return None if tensor is None else tensor.data_ptr()


class Index:
    """The edges of a graph grouped by receiver. int32, on the device of the graph."""

    def __init__(self, engine, graph):
        self.engine, self.graph = engine, graph
        self.edges = flashtp.Edges(edges=graph.edges, senders=graph.nodes, receivers=graph.nodes, sender=address(graph.sender),
                                   receiver=address(graph.receiver), index_bits=8 * graph.sender.element_size())
        empty = lambda rows: torch.empty(rows, dtype=torch.int32, device=graph.sender.device)
        self.arrays = [empty(graph.nodes + 1), empty(graph.edges), empty(graph.edges)]
        self.report = torch.full((2,), -1, dtype=torch.int64, device=graph.sender.device)
        self.workspace = None
        self.build()
        row_ptr, sender, edge = map(address, self.arrays)
        self.struct = flashtp.GraphStruct(edges=graph.edges, senders=graph.nodes, receivers=graph.nodes, row_ptr=row_ptr,
                                          sender=sender, edge=None if self.sorted() else edge)

    def build(self):
        pointers = [c.c_void_p(address(a)) for a in self.arrays]
        if self.graph.sender.is_cuda:
            self.build_on_device(pointers)
        else:
            is_sorted = c.c_int32()
            check(lib.flashtp_build_receiver_index(c.byref(self.edges), *pointers, c.byref(is_sorted)))
            self.report[1] = 1 - is_sorted.value

    def build_on_device(self, pointers):
        if self.workspace is None:
            size = c.c_size_t()
            check(lib.flashtp_receiver_index_workspace(c.byref(self.edges), c.byref(size)))
            self.workspace = torch.empty(size.value, dtype=torch.uint8, device=self.graph.sender.device)
        check(lib.flashtp_build_receiver_index_cuda(
            self.engine.handle, c.byref(self.edges), *pointers, c.c_void_p(address(self.report)),
            c.c_void_p(address(self.workspace)), c.c_size_t(self.workspace.numel()), current_stream()))

    def sorted(self):
        return int(self.report[1]) == 0


def current_stream():
    return c.c_void_p(torch.cuda.current_stream().cuda_stream)


class Contraction(torch.autograd.Function):
    """Order n of a convolution. Its gradient is order n + 1, whose inputs are those of order n and the cotangents."""

    @staticmethod
    def forward(ctx, convolution, order, *inputs):
        ctx.convolution, ctx.order = convolution, order
        ctx.save_for_backward(*inputs)
        outputs = convolution.run(order, inputs)
        return outputs if len(outputs) > 1 else outputs[0]

    @staticmethod
    def backward(ctx, *cotangents):
        gradients = Contraction.apply(ctx.convolution, ctx.order + 1, *ctx.saved_tensors, *cotangents)
        if ctx.order == 1:  # t_z, the gradient in d_z, comes first; d_z is the last input
            gradients = (*gradients[1:], gradients[0])
        return (None, None, *gradients)


class Convolution:
    """z = convolution(x, y, w), differentiable twice. Programs are compiled when they are first needed."""

    def __init__(self, engine, case):
        self.engine = engine
        self.spec = {**case.layer.spec, "dtype": str(case.dtype).removeprefix("torch.")}
        self.device = case.graph.sender.device
        self.index = Index(engine, case.graph)
        self.rows = {flashtp.ROW_EDGE: case.graph.edges, flashtp.ROW_SENDER: case.graph.nodes,
                     flashtp.ROW_RECEIVER: case.graph.nodes, flashtp.ROW_SHARED: 1}
        self.programs = {}

    def __call__(self, x, y, w):
        return Contraction.apply(self, 0, x, y, w)

    def program(self, order):
        if order not in self.programs:
            self.programs[order] = self.engine.compile(self.spec, order, target="cuda" if self.device.type == "cuda" else "cpu")
        return self.programs[order]

    def run(self, order, inputs):
        inputs = [i.contiguous() for i in inputs]
        operands = self.program(order).operands
        outputs = [torch.empty(self.rows[o.row], o.width, dtype=inputs[0].dtype, device=self.device)
                   for o in operands if o.role == flashtp.OUTPUT]
        self.launch(order, pointers(inputs + outputs))
        return tuple(outputs)

    def launch(self, order, operands):
        """The C API alone: operands are pointers to inputs and outputs."""
        handle, graph = self.program(order).handle, c.byref(self.index.struct)
        if self.device.type == "cuda":
            check(lib.flashtp_launch_cuda(handle, operands, c.c_int32(len(operands)), graph, current_stream()))
        else:
            check(lib.flashtp_run_cpu(handle, operands, c.c_int32(len(operands)), graph, c.c_int32(0)))

    def multiply_adds_per_edge(self, order):
        text = c.c_char_p()
        check(lib.flashtp_program_explain(self.program(order).handle, c.c_int32(1), c.byref(text)))
        return json.loads(text.value)["cost"]["multiply_adds_per_edge"]


def pointers(tensors):
    return (c.c_void_p * len(tensors))(*map(address, tensors))
