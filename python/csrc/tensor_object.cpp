// Compiles where tensor_object.hpp says the same as this torch's own header, and has no code.
#include <torch/csrc/autograd/python_variable.h>

#include <cstddef>
#include <type_traits>

#include "tensor_object.hpp"

static_assert(std::is_same_v<decltype(THPVariable::cdata), decltype(TensorObject::tensor)>);
static_assert(offsetof(THPVariable, cdata) == offsetof(TensorObject, tensor));
