// Frames in Python: VisionStream.

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "bindings.h"
#include "plain_method.h"
#include "vision_settings.h"
#include "vision_stream.h"

namespace edge_agent {
namespace {

std::unique_ptr<VisionStream> make_vision(py::ssize_t tile, double edge_threshold, py::ssize_t change_threshold,
                                          const Isa& isa) {
    return std::make_unique<VisionStream>(choose(isa), checked_tile(tile), checked_edge_threshold(edge_threshold),
                                          checked_change_threshold(change_threshold));
}

PyObject* number(double value) {
    PyObject* const object = PyFloat_FromDouble(value);
    if (object == nullptr) {
        throw py::error_already_set();
    }
    return object;
}

PyObject* result_tuple(const VisionResult& result, py::object entropy_map, py::object motion_map) {
    auto tuple = py::reinterpret_steal<py::object>(PyTuple_New(8));
    if (!tuple) {
        throw py::error_already_set();
    }
    PyObject* const t = tuple.ptr();
    PyTuple_SET_ITEM(t, 1, entropy_map.release().ptr());
    PyTuple_SET_ITEM(t, 7, motion_map.release().ptr());
    PyTuple_SET_ITEM(t, 4, PyBool_FromLong(result.has_motion ? 1 : 0));
    PyTuple_SET_ITEM(t, 0, number(result.entropy));
    PyTuple_SET_ITEM(t, 2, number(result.edge_density));
    PyTuple_SET_ITEM(t, 3, number(result.laplacian_variance));
    PyTuple_SET_ITEM(t, 5, number(result.mean_absolute_difference));
    PyTuple_SET_ITEM(t, 6, number(result.changed_share));
    return tuple.release().ptr();
}

// A map that the caller gives, of float32 [rows, columns] that can be written to; a new one for None.
py::object map_for(PyObject* given, const char* name, const TileGrid& grid) {
    if (given == Py_None) {
        return new_floats(grid.rows, grid.columns);
    }
    const auto* array = py::detail::array_proxy(given);
    constexpr int wanted = py::detail::npy_api::NPY_ARRAY_C_CONTIGUOUS_ | py::detail::npy_api::NPY_ARRAY_ALIGNED_ |
                           py::detail::npy_api::NPY_ARRAY_WRITEABLE_;
    if (!py::isinstance<py::array>(given) || array->descr != float_type() || array->nd != 2 ||
        (array->flags & wanted) != wanted || array->dimensions[0] != static_cast<Py_intptr_t>(grid.rows) ||
        array->dimensions[1] != static_cast<Py_intptr_t>(grid.columns)) {
        throw py::value_error(std::string(name) + " must be a writable, contiguous float32 array of shape (" +
                              std::to_string(grid.rows) + ", " + std::to_string(grid.columns) +
                              "), one for each tile; give None for a new one");
    }
    return py::reinterpret_borrow<py::object>(given);
}

// VisionStream.analyze(image, entropy_map=None, motion_map=None), by position.
PyObject* analyze(PyObject* self, PyObject* const* arguments, Py_ssize_t count) {
    return with_errors_for_python([&] {
        if (count != 1 && count != 3) {
            throw py::type_error("analyze takes image, or image, entropy_map and motion_map");
        }
        auto& stream = instance_in<VisionStream>(self);
        const Buffer buffer(arguments[0], "image");
        const ImageView view = image_view(buffer);
        const TileGrid grid(view.width, view.height, stream.tile());
        py::object entropy_map = map_for(count == 3 ? arguments[1] : Py_None, "entropy_map", grid);
        py::object motion_map = map_for(count == 3 ? arguments[2] : Py_None, "motion_map", grid);
        VisionResult result;
        {
            float* const entropies = floats_of(entropy_map);
            float* const motions = floats_of(motion_map);
            const GilReleased released;
            result = stream.analyze(view, entropies, motions);
        }
        return result_tuple(result, std::move(entropy_map), std::move(motion_map));
    });
}

// One number of every result, [N].
template <class Value>
py::array_t<Value> each(const std::vector<VisionResult>& results, Value VisionResult::* member) {
    py::array_t<Value> values(static_cast<py::ssize_t>(results.size()));
    for (std::size_t i = 0; i < results.size(); ++i) {
        values.mutable_data()[i] = results[i].*member;
    }
    return values;
}

// VisionStream.analyze_many(images): as many calls of analyze, for the price of one; each result with an axis more.
PyObject* analyze_many(PyObject* self, PyObject* images) {
    return with_errors_for_python([&] {
        auto& stream = instance_in<VisionStream>(self);
        const Buffer buffer(images, "images");
        if (buffer.rank() < 3 || buffer.size(0) == 0) {
            buffer.wrong_shape("must be [N, H, W] grey or [N, H, W, 3] BGR, at least one");
        }
        const ImageView first = image_view(buffer, 1);
        const std::size_t count = buffer.size(0);
        const std::ptrdiff_t apart = count > 1 ? buffer.stride(0) : 0;
        if (apart < 0) {
            buffer.wrong_shape("must have its pictures in order (no negative stride)");
        }
        const TileGrid grid(first.width, first.height, stream.tile());
        py::array_t<float> entropy_maps({count, grid.rows, grid.columns}),
            motion_maps({count, grid.rows, grid.columns});
        std::vector<VisionResult> results(count);
        {
            float* const entropies = entropy_maps.mutable_data();
            float* const motions = motion_maps.mutable_data();
            const GilReleased released;
            for (std::size_t i = 0; i < count; ++i) {
                ImageView view = first;
                view.data += static_cast<std::ptrdiff_t>(i) * apart;
                const std::size_t at = i * grid.rows * grid.columns;
                results[i] = stream.analyze(view, entropies + at, motions + at);
            }
        }
        return py::make_tuple(
                   each(results, &VisionResult::entropy), std::move(entropy_maps),
                   each(results, &VisionResult::edge_density), each(results, &VisionResult::laplacian_variance),
                   each(results, &VisionResult::has_motion), each(results, &VisionResult::mean_absolute_difference),
                   each(results, &VisionResult::changed_share), std::move(motion_maps))
            .release()
            .ptr();
    });
}

PyMethodDef kAnalyze{"analyze", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(analyze)), METH_FASTCALL,
                     nullptr};

PyMethodDef kAnalyzeMany{"analyze_many", analyze_many, METH_O, nullptr};

}  // namespace

void add_vision_stream(py::module_& module) {
    using py::arg;
    py::class_<VisionStream> stream(module, "VisionStream", py::is_final());
    stream
        .def(py::init(&make_vision), arg("tile") = 32, arg("edge_threshold") = 128.0, arg("change_threshold") = 25,
             arg("isa") = py::none())
        .def("reset", &VisionStream::reset, py::call_guard<py::gil_scoped_release>())
        .def_property_readonly("isa", [](const VisionStream& self) { return std::string(self.kernels().name); });
    add_plain_method(stream, &kAnalyze);
    add_plain_method(stream, &kAnalyzeMany);
}

}  // namespace edge_agent
