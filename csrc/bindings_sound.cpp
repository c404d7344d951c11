// Sound in Python: SoundStream.

#include <cstdint>
#include <cstring>
#include <memory>
#include <string>

#include "bindings.h"
#include "plain_method.h"
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

py::object array_of(const SoundRows& rows) {
    py::object array = new_floats(kSoundFeatures, rows.frames());
    std::memcpy(floats_of(array), rows.data(), rows.floats() * sizeof(float));
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
    if (array->descr == float_type()) {
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

PyObject* feed(PyObject* self, PyObject* samples) {
    return with_errors_for_python([&] {
        auto& stream = instance_in<SoundStream>(self);
        SoundRows rows;
        if (!feed_few(stream, samples, &rows)) {
            rows = feed_any(stream, samples);
        }
        return array_of(rows).release().ptr();
    });
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
    add_plain_method(type, &kFeed);
}

}  // namespace edge_agent
