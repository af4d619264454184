"""The C API of FlashTP for NumPy, as far as the tests and bench/ need it. FLASHTP_LIBRARY names the library."""
import ctypes as c
import json
import os
from pathlib import Path

import numpy as np

OK, INVALID_ARGUMENT, INVALID_PROBLEM, LIMIT_EXCEEDED, COMPILE_FAILED, DEVICE_ERROR, OUT_OF_MEMORY, INTERNAL_ERROR = range(8)
ROW_EDGE, ROW_SENDER, ROW_RECEIVER, ROW_SHARED = range(4)
INPUT, OUTPUT = range(2)
DTYPES = (np.float32, np.float64)
ROOT = Path(__file__).resolve().parents[2]


class Sized(c.Structure):
    """Every structure of the API starts with its size."""

    def __init__(self, **fields):
        super().__init__(size=c.sizeof(type(self)), **fields)


class EngineOptions(Sized):
    _fields_ = [("size", c.c_size_t), ("cache_directory", c.c_char_p), ("threads", c.c_int32), ("reserved", c.c_int32),
                ("log", c.c_void_p), ("log_user", c.c_void_p)]


class Request(Sized):
    _fields_ = [("size", c.c_size_t), ("problem", c.c_char_p), ("order", c.c_int32), ("reserved", c.c_int32),
                ("outputs", c.c_char_p), ("absent", c.c_char_p), ("target", c.c_char_p)]


class Operand(Sized):
    _fields_ = [("size", c.c_size_t), ("name", c.c_char_p), ("role", c.c_int32), ("row", c.c_int32), ("dtype", c.c_int32),
                ("used", c.c_int32), ("width", c.c_int64)]


class KernelInfo(Sized):
    _fields_ = [("size", c.c_size_t), ("name", c.c_char_p), ("key", c.c_char_p), ("code_bytes", c.c_int64),
                ("registers", c.c_int32), ("cached", c.c_int32), ("spill_bytes", c.c_int64), ("shared_bytes", c.c_int64),
                ("threads_per_block", c.c_int32), ("rows_per_block", c.c_int32), ("grid_y", c.c_int32),
                ("receiver_rows", c.c_int32)]


class GraphStruct(Sized):
    _fields_ = [("size", c.c_size_t), ("edges", c.c_int64), ("senders", c.c_int64), ("receivers", c.c_int64),
                ("row_ptr", c.c_void_p), ("sender", c.c_void_p), ("edge", c.c_void_p)]


class Edges(Sized):
    _fields_ = [("size", c.c_size_t), ("edges", c.c_int64), ("senders", c.c_int64), ("receivers", c.c_int64),
                ("sender", c.c_void_p), ("receiver", c.c_void_p), ("index_bits", c.c_int32), ("reserved", c.c_int32)]


def library_path():
    return os.environ.get("FLASHTP_LIBRARY") or str(ROOT / "build/release/lib/libflashtp.so")


def load_library():
    """The library with the functions' result types; arguments are typed by the callers below."""
    lib = c.CDLL(library_path())
    for name in ("flashtp_status_string", "flashtp_last_message", "flashtp_version"):
        getattr(lib, name).restype = c.c_char_p
    for name in ("flashtp_engine_destroy", "flashtp_program_destroy"):
        getattr(lib, name).restype = None
        getattr(lib, name).argtypes = [c.c_void_p]
    return lib


lib = load_library()


class FlashtpError(Exception):
    def __init__(self, status):
        self.status = status
        self.message = lib.flashtp_last_message().decode()
        super().__init__(f"{lib.flashtp_status_string(status).decode()}: {self.message}")


def check(status):
    if status != OK:
        raise FlashtpError(status)


def address(array):
    return None if array is None else array.ctypes.data


class Engine:
    """cache "": kernels stay in memory, so that every run of a test compiles what it tests."""

    def __init__(self, cache="", threads=0):
        self.handle = c.c_void_p()
        options = EngineOptions(cache_directory=None if cache is None else os.fsencode(cache), threads=threads)
        check(lib.flashtp_engine_create(c.byref(options), c.byref(self.handle)))

    def __del__(self):
        lib.flashtp_engine_destroy(self.handle)

    def compile(self, problem, order=0, outputs=None, absent=None, target="cpu"):
        return Program(self, problem, order, outputs, absent, target)


class Program:
    def __init__(self, engine, problem, order, outputs, absent, target):
        self.handle = c.c_void_p()
        text = problem if isinstance(problem, str) else json.dumps(problem)
        encode = lambda value: None if value is None else value.encode()
        request = Request(problem=text.encode(), order=order, outputs=encode(outputs), absent=encode(absent), target=encode(target))
        check(lib.flashtp_compile(engine.handle, c.byref(request), c.byref(self.handle)))
        self.operands = self._all("operand", Operand)

    def __del__(self):
        lib.flashtp_program_destroy(self.handle)

    def _all(self, kind, structure):
        count = c.c_int32()
        check(getattr(lib, f"flashtp_program_{kind}_count")(self.handle, c.byref(count)))
        values = [structure() for _ in range(count.value)]
        for i, value in enumerate(values):
            check(getattr(lib, f"flashtp_program_{kind}")(self.handle, c.c_int32(i), c.byref(value)))
        return values

    def kernels(self):
        return self._all("kernel", KernelInfo)

    def allocate(self, graph):
        """Outputs filled with NaN: a component that no kernel writes is noticed."""
        return {o.name.decode(): np.full((graph.rows(o.row), o.width), np.nan, DTYPES[o.dtype])
                for o in self.operands if o.role == OUTPUT}

    def run(self, inputs, graph, threads=0, outputs=None):
        """inputs: arrays by operand name. Returns the outputs by name."""
        outputs = outputs or self.allocate(graph)
        arrays = [(outputs if o.role == OUTPUT else inputs)[o.name.decode()] for o in self.operands]
        for o, array in zip(self.operands, arrays):
            assert array.shape == (graph.rows(o.row), o.width), (o.name, array.shape, graph.rows(o.row), o.width)
            assert array.dtype == DTYPES[o.dtype] and array.flags.c_contiguous, o.name
        pointers = (c.c_void_p * len(arrays))(*map(address, arrays))
        check(lib.flashtp_run_cpu(self.handle, pointers, c.c_int32(len(arrays)), c.byref(graph.struct), c.c_int32(threads)))
        return outputs


class Graph:
    """A plain batch of `edges` rows, or with sender and receiver a convolution over edges in any order."""

    def __init__(self, edges, senders=None, receivers=None, sender=None, receiver=None):
        self.edges = edges
        self.senders = edges if senders is None else senders
        self.receivers = edges if receivers is None else receivers
        self.sender, self.receiver = sender, receiver
        self.arrays = [None] * 3 if sender is None else self._index()
        row_ptr, by_position, edge = map(address, self.arrays)
        self.struct = GraphStruct(edges=edges, senders=self.senders, receivers=self.receivers, row_ptr=row_ptr,
                                  sender=by_position, edge=edge)

    def _index(self):
        assert self.sender.dtype == self.receiver.dtype
        edges = Edges(edges=self.edges, senders=self.senders, receivers=self.receivers, sender=address(self.sender),
                      receiver=address(self.receiver), index_bits=8 * self.sender.itemsize)
        row_ptr, sender, edge = (np.empty(n, np.int32) for n in (self.receivers + 1, self.edges, self.edges))
        is_sorted = c.c_int32(-1)
        check(lib.flashtp_build_receiver_index(c.byref(edges), *(c.c_void_p(address(a)) for a in (row_ptr, sender, edge)),
                                               c.byref(is_sorted)))
        return row_ptr, sender, None if is_sorted.value else edge

    def rows(self, row):
        return {ROW_EDGE: self.edges, ROW_SENDER: self.senders, ROW_RECEIVER: self.receivers, ROW_SHARED: 1}[row]
