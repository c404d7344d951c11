// What a method needs to be called by CPython itself: a call through pybind11 takes as long as the rest of a binding.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstddef>
#include <exception>
#include <new>
#include <stdexcept>

namespace edge_agent {

namespace py = pybind11;

// The C++ object in `object`, whose type, which is final, CPython has checked.
template <class T>
T& instance_in(PyObject* object) {
    auto holder = reinterpret_cast<py::detail::instance*>(object)->get_value_and_holder();
    if (!holder.holder_constructed()) {
        throw py::type_error("__init__() was not called");
    }
    return *holder.template value_ptr<T>();
}

// What `call` returns, or nullptr with its C++ exception as the Python one.
template <class Call>
PyObject* with_errors_for_python(Call call) noexcept {
    try {
        return call();
    } catch (py::error_already_set& error) {
        error.restore();
    } catch (const py::builtin_exception& error) {
        error.set_error();
    } catch (const std::invalid_argument& error) {
        PyErr_SetString(PyExc_ValueError, error.what());
    } catch (const std::bad_alloc&) {
        PyErr_NoMemory();
    } catch (const std::exception& error) {
        PyErr_SetString(PyExc_RuntimeError, error.what());
    }
    return nullptr;
}

inline void add_plain_method(const py::object& type, PyMethodDef* definition) {
    PyObject* const method = PyDescr_NewMethod(reinterpret_cast<PyTypeObject*>(type.ptr()), definition);
    if (method == nullptr) {
        throw py::error_already_set();
    }
    type.attr(definition->ml_name) = py::reinterpret_steal<py::object>(method);
}

// NumPy's own float32 type, which lives as long as NumPy; looked up once, as a look-up takes as long as a check.
inline PyObject* float_type() {
    static PyObject* const type = py::dtype::of<float>().release().ptr();
    return type;
}

// A new float32 array [rows, columns], not yet filled. Made by NumPy's own interface, which takes a quarter of the time
// of py::array_t's constructor.
inline py::object new_floats(std::size_t rows, std::size_t columns) {
    const auto& numpy = py::detail::npy_api::get();
    const Py_intptr_t shape[2] = {static_cast<Py_intptr_t>(rows), static_cast<Py_intptr_t>(columns)};
    PyObject* const type = float_type();
    Py_INCREF(type);  // a reference that the array takes
    auto array = py::reinterpret_steal<py::object>(
        numpy.PyArray_NewFromDescr_(numpy.PyArray_Type_, type, 2, shape, nullptr, nullptr, 0, nullptr));
    if (!array) {
        throw py::error_already_set();
    }
    return array;
}

inline float* floats_of(const py::object& array) {
    return reinterpret_cast<float*>(py::detail::array_proxy(array.ptr())->data);
}

// Without the GIL from here to the end of the block; the bare calls, as pybind11's own look up its state first.
class GilReleased {
  public:
    GilReleased() : state_(PyEval_SaveThread()) {}
    ~GilReleased() { PyEval_RestoreThread(state_); }
    GilReleased(const GilReleased&) = delete;
    GilReleased& operator=(const GilReleased&) = delete;

  private:
    PyThreadState* state_;
};

}  // namespace edge_agent
