// Sound in Python: SoundStream.

#include <cstdint>
#include <cstring>
#include <memory>
#include <string>

#include "bindings.h"
#include "sound.h"

namespace edge_agent {
namespace {

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

py::array_t<float> feed(SoundStream& stream, const py::object& samples) {
    const Buffer buffer(samples, "samples");
    const bool is_float = buffer.has_format("f");
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
    const auto fed = [&] {
        const py::gil_scoped_release release;
        return is_float ? stream.feed(static_cast<const float*>(buffer.data()), count)
                        : stream.feed(static_cast<const std::int16_t*>(buffer.data()), count);
    };
    const SoundRows rows = fed();
    py::array_t<float> features({kSoundFeatures, rows.frames()});
    std::memcpy(features.mutable_data(), rows.data(), rows.floats() * sizeof(float));
    return features;
}

}  // namespace

void add_sound(py::module_& module) {
    using py::arg;
    py::class_<SoundStream>(module, "SoundStream")
        .def(py::init(&make_sound), arg("window") = 512, arg("hop") = 160, arg("isa") = py::none())
        .def("feed", &feed, arg("samples"))
        .def("reset", &SoundStream::reset, py::call_guard<py::gil_scoped_release>())
        .def_property_readonly("window", &SoundStream::window)
        .def_property_readonly("hop", &SoundStream::hop)
        .def_property_readonly("isa", [](const SoundStream& stream) { return std::string(stream.kernels().name); });
}

}  // namespace edge_agent
