// What torch/csrc/autograd/python_variable.h declares of tensors in Python. That header needs more of Python than its stable ABI;
// tensor_object.cpp compares the two.
#pragma once

#include <Python.h>

#include <ATen/core/Tensor.h>

/// How torch's class of tensors begins.
struct TensorObject {
    PyObject head;
    at::Tensor tensor;
};

extern PyObject *THPVariableClass, *ParameterClass;
/// A new reference; null with an exception set where it fails.
PyObject* THPVariable_Wrap(at::TensorBase&&);
