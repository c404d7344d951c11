// Sound in Python: SoundStream.

#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>

#include "bindings.h"
#include "sound.h"

namespace edge_agent {
namespace {

// Up to so many samples a call keeps the GIL: some microseconds of work.
constexpr std::size_t kFewSamples = 4096;

std::unique_ptr<SoundStream> make_sound(py::ssize_t window, py::ssize_t hop, const Isa& isa) {
    const bool power_of_two = window > 0 && (window & (window - 1)) == 0;
    if (!power_of_two || window < static_cast<py::ssize_t>(kMinWindow) ||
        window > static_cast<py::ssize_t>(kMaxWindow)) {
        throw py::value_error("window must be a power of two from 32 to 8192 samples, not " + std::to_string(window));
    }
    if (hop < 1 || hop > static_cast<py::ssize_t>(kMaxHop)) {
        throw py::value_error("hop must be from 1 to 1048576 samples, not " + std::to_string(hop));
    }
    return std::make_unique<SoundStream>(choose(isa), static_cast<std::size_t>(window), static_cast<std::size_t>(hop));
}

// A NumPy array of `rows`. Made by NumPy's own interface, which takes a quarter of the time of py::array_t's
// constructor.
py::object array_of(const SoundRows& rows) {
    const auto& numpy = py::detail::npy_api::get();
    const Py_intptr_t shape[2] = {kSoundFeatures, static_cast<Py_intptr_t>(rows.frames())};
    PyObject* const type = py::dtype::of<float>().release().ptr();  // whose reference the array takes
    const auto array = py::reinterpret_steal<py::object>(
        numpy.PyArray_NewFromDescr_(numpy.PyArray_Type_, type, 2, shape, nullptr, nullptr, 0, nullptr));
    if (!array) {
        throw py::error_already_set();
    }
    std::memcpy(py::detail::array_proxy(array.ptr())->data, rows.data(), rows.floats() * sizeof(float));
    return array;
}

// Feeds a few samples without releasing the GIL and without a buffer view, which would take half as long as the
// kernels. False, and nothing done, where the array is not small or not as simple as arrays usually are, and where
// another thread is using the stream.
bool feed_few(SoundStream& stream, const py::handle& samples, SoundRows* rows) {
    if (!py::isinstance<py::array>(samples)) {
        return false;
    }
    constexpr int simple = py::detail::npy_api::NPY_ARRAY_C_CONTIGUOUS_ | py::detail::npy_api::NPY_ARRAY_ALIGNED_;
    const auto* array = py::detail::array_proxy(samples.ptr());
    if (array->nd != 1 || (array->flags & simple) != simple) {
        return false;
    }
    const std::size_t count = static_cast<std::size_t>(array->dimensions[0]);
    if (count > kFewSamples || count / stream.hop() >= SoundRows::kSmall) {
        return false;
    }
    if (array->descr == py::dtype::of<float>().ptr()) {
        return stream.feed_now(reinterpret_cast<const float*>(array->data), count, rows);
    }
    if (array->descr == py::dtype::of<std::int16_t>().ptr()) {
        return stream.feed_now(reinterpret_cast<const std::int16_t*>(array->data), count, rows);
    }
    return false;
}

SoundRows feed_any(SoundStream& stream, const py::handle& samples) {
    const Buffer buffer(samples, "samples");
    const bool is_float = buffer.has_format("f");
    if (buffer.has_format("=f") || buffer.has_format("=h")) {  // how NumPy exports what does not lie aligned
        buffer.wrong_shape("must be aligned; use array.copy()");
    }
    if (!is_float && !buffer.has_format("h")) {
        buffer.wrong_type("float32 or int16");
    }
    if (buffer.rank() != 1) {
        buffer.wrong_shape("must be mono, [N]");
    }
    const std::size_t count = buffer.size(0);
    if (count > 1 && buffer.stride(0) != (is_float ? 4 : 2)) {
        buffer.wrong_shape("must be contiguous; use numpy.ascontiguousarray");
    }
    const py::gil_scoped_release release;
    return is_float ? stream.feed(static_cast<const float*>(buffer.data()), count)
                    : stream.feed(static_cast<const std::int16_t*>(buffer.data()), count);
}

// The stream of a Python object whose type, which is final, CPython has checked.
SoundStream& stream_of(PyObject* object) {
    auto holder = reinterpret_cast<py::detail::instance*>(object)->get_value_and_holder();
    if (!holder.holder_constructed()) {
        throw py::type_error("SoundStream.__init__() was not called");
    }
    return *holder.value_ptr<SoundStream>();
}

// SoundStream.feed as a plain method of CPython: calling one of pybind11's would take as long as the rest of the
// binding.
PyObject* feed(PyObject* self, PyObject* samples) {
    try {
        auto& stream = stream_of(self);
        SoundRows rows;
        if (!feed_few(stream, samples, &rows)) {
            rows = feed_any(stream, samples);
        }
        return array_of(rows).release().ptr();
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

PyMethodDef kFeed{"feed", feed, METH_O, nullptr};

}  // namespace

void add_sound(py::module_& module) {
    using py::arg;
    py::class_<SoundStream> type(module, "SoundStream", py::is_final());
    type.def(py::init(&make_sound), arg("window") = 512, arg("hop") = 160, arg("isa") = py::none())
        .def("reset", &SoundStream::reset, py::call_guard<py::gil_scoped_release>())
        .def_property_readonly("window", &SoundStream::window)
        .def_property_readonly("hop", &SoundStream::hop)
        .def_property_readonly("isa", [](const SoundStream& stream) { return std::string(stream.kernels().name); });
    auto* const method = PyDescr_NewMethod(reinterpret_cast<PyTypeObject*>(type.ptr()), &kFeed);
    if (method == nullptr) {
        throw py::error_already_set();
    }
    type.attr("feed") = py::reinterpret_steal<py::object>(method);
}

}  // namespace edge_agent
