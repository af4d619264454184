// The calls of modules in eager mode as functions of Python, without torch.ops: finding an operator's schema, boxing its arguments and
// dispatching take longer than the rest. A module of Python's stable ABI, built for one torch. They run the usual case, and return
// None for all others and for all errors: then the caller goes through torch.ops or torch's own layers, which know them.
#include <Python.h>

#include <ATen/PythonTorchFunctionTLS.h>
#include <ATen/core/Tensor.h>
#include <ATen/record_function.h>
#include <c10/util/SmallVector.h>

#include <array>
#include <exception>
#include <optional>

#include "autograd.hpp"
#include "linear.hpp"
#include "silu.hpp"
#include "tensor_object.hpp"

namespace flashtp::torch_operators {
namespace {

/// Of a problem with a radial layer: x, y, h, W2 and b.
constexpr std::size_t most_operands = 5;
constexpr Py_ssize_t product_arguments = 6;

template <std::size_t count>
using Tensors = std::array<std::optional<at::Tensor>, count>;

/// False for what is no tensor, and for subclasses, which may have rules of their own.
bool read(PyObject* object, std::optional<at::Tensor>& tensor) {
    if (object == Py_None) return true;
    const auto* const type = reinterpret_cast<PyObject*>(Py_TYPE(object));
    if (type != THPVariableClass && type != ParameterClass) return false;
    tensor = reinterpret_cast<TensorObject*>(object)->tensor;
    return true;
}

/// Absent, or nothing but autograd looks on, and in reverse only.
bool is_usual(const std::optional<at::Tensor>& tensor) { return !tensor || (is_plain(*tensor) && !tensor->_fw_grad(0).defined()); }

/// The first `count` arguments are there and usual.
template <std::size_t count>
bool read_usual(PyObject* const* arguments, Tensors<count>& tensors) {
    if (at::impl::torch_function_mode_enabled()) return false;
    for (std::size_t i = 0; i < count; ++i)
        if (!read(arguments[i], tensors[i]) || !tensors[i] || !is_usual(tensors[i])) return false;
    return true;
}

/// The same of a list; empty where it is not.
c10::SmallVector<at::Tensor, most_operands> usual_operands(PyObject* list) {
    const Py_ssize_t count = PyList_Check(list) ? PyList_Size(list) : 0;
    c10::SmallVector<at::Tensor, most_operands> operands;
    for (Py_ssize_t i = 0; i < count; ++i) {
        PyObject* const item = PyList_GetItem(list, i);
        Tensors<1> tensor;
        if (!read_usual(&item, tensor)) return {};
        operands.push_back(std::move(*tensor[0]));
    }
    return operands;
}

/// What `evaluate` gives, or None where it fails. Other threads of Python run meanwhile: the first call compiles.
template <class Evaluate>
PyObject* evaluated(Evaluate evaluate) {
    at::Tensor result;
    PyThreadState* const state = PyEval_SaveThread();
    try {
        result = evaluate();
    } catch (const std::exception&) {
        result = at::Tensor();
    }
    PyEval_RestoreThread(state);
    // Hooks of autograd are Python's; what they raise is the caller's.
    if (PyErr_Occurred()) return nullptr;
    if (!result.defined()) Py_RETURN_NONE;
    return THPVariable_Wrap(std::move(result));
}

PyObject* wrong_count(const char* what) {
    PyErr_SetString(PyExc_TypeError, what);
    return nullptr;
}

/// Arguments: operands, receiver, sender, receivers (or as_many_as_senders), problem, by_sender.
PyObject* call(PyObject*, PyObject* const* arguments, Py_ssize_t count) {
    if (count != product_arguments) return wrong_count("flashtp: six arguments are expected");
    const auto operands = usual_operands(arguments[0]);
    std::optional<at::Tensor> receiver, sender;
    const bool rows = read(arguments[1], receiver) && read(arguments[2], sender) && is_usual(receiver) && is_usual(sender);
    if (at::hasCallbacks() || operands.empty() || !rows) Py_RETURN_NONE;
    const std::int64_t receivers = PyLong_AsLongLong(arguments[3]), problem = PyLong_AsLongLong(arguments[4]);
    if (PyErr_Occurred()) {
        PyErr_Clear();
        Py_RETURN_NONE;
    }
    return evaluated([&, by_sender = arguments[5] == Py_True] {
        return eager_product(operands, receiver, sender, receivers, problem, by_sender);
    });
}

/// Arguments: features, weights, the number of a layout. Profilers see the calls of torch that it is made of.
PyObject* call_linear(PyObject*, PyObject* const* arguments, Py_ssize_t count) {
    if (count != 3) return wrong_count("flashtp: three arguments are expected");
    Tensors<2> tensors;
    if (!read_usual(arguments, tensors)) Py_RETURN_NONE;
    const std::int64_t layout = PyLong_AsLongLong(arguments[2]);
    if (PyErr_Occurred()) return nullptr;
    return evaluated([&] { return linear(*tensors[0], *tensors[1], layout); });
}

PyObject* call_silu(PyObject*, PyObject* const* arguments, Py_ssize_t count) {
    if (count != 1) return wrong_count("flashtp: one argument is expected");
    Tensors<1> tensors;
    if (!read_usual(arguments, tensors)) Py_RETURN_NONE;
    return evaluated([&] { return silu(*tensors[0]); });
}

PyMethodDef method(const char* name, PyObject* (*function)(PyObject*, PyObject* const*, Py_ssize_t)) {
    return {name, reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(function)), METH_FASTCALL, nullptr};
}

PyMethodDef methods[] = {
    method("call", call), method("linear", call_linear), method("silu", call_silu), {nullptr, nullptr, 0, nullptr}};
PyModuleDef module = {PyModuleDef_HEAD_INIT, "flashtp_call", nullptr, -1, methods, nullptr, nullptr, nullptr, nullptr};

}  // namespace
}  // namespace flashtp::torch_operators

PyMODINIT_FUNC PyInit_flashtp_call() { return PyModule_Create(&flashtp::torch_operators::module); }
