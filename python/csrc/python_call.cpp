// The calls of modules in eager mode as functions of Python, without torch.ops: finding an operator's schema, boxing its arguments and
// dispatching take longer than the rest. A module of Python's stable ABI, built for one torch. They run the usual case, and return
// None for all others and for all errors: then the caller goes through torch.ops or torch's own layers, which know them.
#include <Python.h>

#include <ATen/PythonTorchFunctionTLS.h>
#include <ATen/core/Tensor.h>
#include <ATen/record_function.h>

#include <array>
#include <exception>
#include <optional>

#include "autograd.hpp"
#include "linear.hpp"
#include "silu.hpp"
#include "tensor_object.hpp"

namespace flashtp::torch_operators {
namespace {

/// x, y, w, receiver and sender, of which the last three may be None.
constexpr std::size_t product_tensors = 5;
constexpr Py_ssize_t product_arguments = 8;

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

/// The first `required` are there, nothing but autograd looks on, and in reverse only.
template <std::size_t count>
bool read_usual(PyObject* const* arguments, Tensors<count>& tensors, std::size_t required) {
    if (at::impl::torch_function_mode_enabled()) return false;
    for (std::size_t i = 0; i < count; ++i) {
        if (!read(arguments[i], tensors[i]) || (i < required && !tensors[i])) return false;
        if (tensors[i] && (!is_plain(*tensors[i]) || tensors[i]->_fw_grad(0).defined())) return false;
    }
    return true;
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

/// Arguments: x, y, w, receiver, sender, receivers (or as_many_as_senders), problem, by_sender.
PyObject* call(PyObject*, PyObject* const* arguments, Py_ssize_t count) {
    if (count != product_arguments) return wrong_count("flashtp: eight arguments are expected");
    Tensors<product_tensors> tensors;
    if (at::hasCallbacks() || !read_usual(arguments, tensors, 2)) Py_RETURN_NONE;
    const std::int64_t receivers = PyLong_AsLongLong(arguments[5]), problem = PyLong_AsLongLong(arguments[6]);
    if (PyErr_Occurred()) {
        PyErr_Clear();
        Py_RETURN_NONE;
    }
    return evaluated([&, by_sender = arguments[7] == Py_True] {
        const auto& [x, y, w, receiver, sender] = tensors;
        return eager_product(*x, *y, w, receiver, sender, receivers, problem, by_sender);
    });
}

/// Arguments: features, weights, the number of a layout. Profilers see the calls of torch that it is made of.
PyObject* call_linear(PyObject*, PyObject* const* arguments, Py_ssize_t count) {
    if (count != 3) return wrong_count("flashtp: three arguments are expected");
    Tensors<2> tensors;
    if (!read_usual(arguments, tensors, 2)) Py_RETURN_NONE;
    const std::int64_t layout = PyLong_AsLongLong(arguments[2]);
    if (PyErr_Occurred()) return nullptr;
    return evaluated([&] { return linear(*tensors[0], *tensors[1], layout); });
}

PyObject* call_silu(PyObject*, PyObject* const* arguments, Py_ssize_t count) {
    if (count != 1) return wrong_count("flashtp: one argument is expected");
    Tensors<1> tensors;
    if (!read_usual(arguments, tensors, 1)) Py_RETURN_NONE;
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
