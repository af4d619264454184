// The call of modules in eager mode as a function of Python, without torch.ops: finding an operator's schema, boxing its arguments and
// dispatching take longer than the rest. A module of Python's stable ABI, built for one torch. It runs the usual case, and returns
// None for all others and for all errors: then the caller goes through torch.ops, which knows them.
#include <Python.h>

#include <ATen/PythonTorchFunctionTLS.h>
#include <ATen/core/Tensor.h>
#include <ATen/record_function.h>

#include <array>
#include <exception>
#include <optional>

#include "autograd.hpp"
#include "tensor_object.hpp"

namespace flashtp::torch_operators {
namespace {

constexpr Py_ssize_t tensor_count = 5, argument_count = 8;

/// x, y, w, receiver and sender, of which the last three may be None.
using Tensors = std::array<std::optional<at::Tensor>, tensor_count>;

/// False for what is no tensor, and for subclasses, which may have rules of their own.
bool read(PyObject* object, std::optional<at::Tensor>& tensor) {
    if (object == Py_None) return true;
    const auto* const type = reinterpret_cast<PyObject*>(Py_TYPE(object));
    if (type != THPVariableClass && type != ParameterClass) return false;
    tensor = reinterpret_cast<TensorObject*>(object)->tensor;
    return true;
}

bool read(PyObject* const* arguments, Tensors& tensors) {
    for (std::size_t i = 0; i < tensors.size(); ++i)
        if (!read(arguments[i], tensors[i])) return false;
    return tensors[0] && tensors[1];
}

/// Whether nothing but autograd looks on, and in reverse only.
bool is_usual(const Tensors& tensors) {
    if (at::impl::torch_function_mode_enabled() || at::hasCallbacks()) return false;
    for (const auto& tensor : tensors)
        if (tensor && (!is_plain(*tensor) || tensor->_fw_grad(0).defined())) return false;
    return true;
}

/// What is no tensor of the arguments.
struct Numbers {
    std::int64_t receivers, problem;
    bool by_sender;
};

at::Tensor evaluate(const Tensors& tensors, const Numbers& numbers) {
    const auto& [x, y, w, receiver, sender] = tensors;
    return eager_product(*x, *y, w, receiver, sender, numbers.receivers, numbers.problem, numbers.by_sender);
}

/// Undefined where it fails. Other threads of Python run meanwhile: the first call compiles.
at::Tensor evaluate_unlocked(const Tensors& tensors, const Numbers& numbers) {
    at::Tensor z;
    PyThreadState* const state = PyEval_SaveThread();
    try {
        z = evaluate(tensors, numbers);
    } catch (const std::exception&) {
        z = at::Tensor();
    }
    PyEval_RestoreThread(state);
    return z;
}

/// Arguments: x, y, w, receiver, sender, receivers (or as_many_as_senders), problem, by_sender.
PyObject* call(PyObject*, PyObject* const* arguments, Py_ssize_t count) {
    if (count != argument_count) {
        PyErr_SetString(PyExc_TypeError, "flashtp: eight arguments are expected");
        return nullptr;
    }
    Tensors tensors;
    if (!read(arguments, tensors) || !is_usual(tensors)) Py_RETURN_NONE;
    const Numbers numbers{PyLong_AsLongLong(arguments[5]), PyLong_AsLongLong(arguments[6]), arguments[7] == Py_True};
    if (PyErr_Occurred()) {
        PyErr_Clear();
        Py_RETURN_NONE;
    }
    at::Tensor z = evaluate_unlocked(tensors, numbers);
    // Hooks of autograd are Python's; what they raise is the caller's.
    if (PyErr_Occurred()) return nullptr;
    if (!z.defined()) Py_RETURN_NONE;
    return THPVariable_Wrap(std::move(z));
}

PyMethodDef methods[] = {{"call", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(call)), METH_FASTCALL, nullptr},
                         {nullptr, nullptr, 0, nullptr}};
PyModuleDef module = {PyModuleDef_HEAD_INIT, "flashtp_call", nullptr, -1, methods, nullptr, nullptr, nullptr, nullptr};

}  // namespace
}  // namespace flashtp::torch_operators

PyMODINIT_FUNC PyInit_flashtp_call() { return PyModule_Create(&flashtp::torch_operators::module); }
