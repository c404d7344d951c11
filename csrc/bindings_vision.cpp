// Pictures in Python: the single kernels and VisionStream.

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "bindings.h"
#include "entropy.h"
#include "plain_method.h"
#include "vision_stream.h"

namespace edge_agent {
namespace {

std::size_t checked_tile(py::ssize_t tile) {
    if (tile < static_cast<py::ssize_t>(kMinTile) || tile > static_cast<py::ssize_t>(kMaxTile)) {
        throw py::value_error("tile must be from 8 to 1024 pixels, not " + std::to_string(tile));
    }
    return static_cast<std::size_t>(tile);
}

std::int32_t checked_edge_threshold(double threshold) {
    if (!(threshold >= 0.0 && threshold <= 10000.0)) {
        throw py::value_error("edge_threshold must be from 0 to 10000, not " + std::to_string(threshold));
    }
    return squared_threshold(threshold);
}

std::uint8_t checked_change_threshold(py::ssize_t threshold) {
    if (threshold < 0 || threshold > 255) {
        throw py::value_error("change_threshold must be from 0 to 255, not " + std::to_string(threshold));
    }
    return static_cast<std::uint8_t>(threshold);
}

py::array_t<float> tile_map(const TileGrid& grid) { return py::array_t<float>({grid.rows, grid.columns}); }

std::uint64_t pixels_of(const ImageView& view) { return static_cast<std::uint64_t>(view.width) * view.height; }

// uint8 [H, W] to write the grey of `image` to: its pixels packed in a row, no memory of the image.
ImageView grey_destination(const Buffer& out, const Buffer& image, const ImageView& source) {
    const ImageView view = image_view(out);
    if (view.channels != 1 || view.width != source.width || view.height != source.height) {
        out.wrong_shape("must be [H, W] of the image");
    }
    out.need_writable();
    if (out.overlaps(image)) {
        out.wrong_shape("shares memory with the image");
    }
    return view;
}

py::object grey(const py::object& image, const py::object& out, const Isa& isa) {
    const KernelTable& kernels = choose(isa);
    const Buffer buffer(image, "image");
    const ImageView view = image_view(buffer);
    if (view.channels != 3) {
        buffer.wrong_shape("must be BGR, [H, W, 3]");
    }
    const py::object result = out.is_none() ? py::array_t<std::uint8_t>({view.height, view.width}) : out;
    const Buffer written(result, "out");
    const ImageView destination = grey_destination(written, buffer, view);
    {
        const py::gil_scoped_release release;
        grey_image(kernels, view, const_cast<std::uint8_t*>(destination.data), destination.stride);
    }
    return result;
}

py::array_t<std::uint32_t> histogram(const py::object& image, const Isa& isa) {
    const KernelTable& kernels = choose(isa);
    const Buffer buffer(image, "image");
    const ImageView view = grey_view(buffer);
    py::array_t<std::uint32_t> counts(256);
    std::uint32_t* const bins = counts.mutable_data();
    {
        const py::gil_scoped_release release;
        std::fill_n(bins, 256, 0U);
        histogram_image(kernels, view, bins);
    }
    return counts;
}

double entropy(const py::object& image, const Isa& isa) {
    const KernelTable& kernels = choose(isa);
    const Buffer buffer(image, "image");
    const ImageView view = grey_view(buffer);
    const py::gil_scoped_release release;
    std::uint32_t counts[256] = {};
    histogram_image(kernels, view, counts);
    return entropy_bits(counts, pixels_of(view));
}

std::pair<double, py::array_t<float>> tile_entropy(const py::object& image, py::ssize_t tile, const Isa& isa) {
    const KernelTable& kernels = choose(isa);
    const Buffer buffer(image, "image");
    const ImageView view = grey_view(buffer);
    const TileGrid grid(view.width, view.height, checked_tile(tile));
    py::array_t<float> map = tile_map(grid);
    float* const tiles = map.mutable_data();
    double bits = 0.0;
    {
        const py::gil_scoped_release release;
        std::uint32_t counts[256] = {};
        tile_entropy_image(kernels, view, grid, counts, tiles);
        bits = entropy_bits(counts, pixels_of(view));
    }
    return {bits, std::move(map)};
}

py::tuple edges(const py::object& image, double threshold, const Isa& isa) {
    const KernelTable& kernels = choose(isa);
    const Buffer buffer(image, "image");
    const ImageView view = grey_view(buffer);
    const std::int32_t squared = checked_edge_threshold(threshold);
    EdgeSums sums;
    {
        const py::gil_scoped_release release;
        sums = edge_image(kernels, view, squared);
    }
    return py::make_tuple(sums.edges, sums.laplacian, sums.laplacian_squared,
                          edge_density(sums, view.width, view.height),
                          laplacian_variance(sums, view.width, view.height));
}

py::tuple difference(const py::object& previous, const py::object& current, py::ssize_t threshold, py::ssize_t tile,
                     const Isa& isa) {
    const KernelTable& kernels = choose(isa);
    const Buffer before(previous, "previous");
    const Buffer after(current, "current");
    const ImageView a = grey_view(before);
    const ImageView b = grey_view(after);
    if (a.width != b.width || a.height != b.height) {
        after.wrong_shape("must have the shape of previous");
    }
    const std::uint8_t limit = checked_change_threshold(threshold);
    const TileGrid grid(b.width, b.height, checked_tile(tile));
    py::array_t<float> map = tile_map(grid);
    float* const tiles = map.mutable_data();
    DifferenceSums sums;
    {
        const py::gil_scoped_release release;
        sums = difference_image(kernels, a, b, grid, limit, tiles);
    }
    return py::make_tuple(sums.absolute, sums.changed, share(sums.absolute, pixels_of(b)),
                          share(sums.changed, pixels_of(b)), std::move(map));
}

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
    PyTuple_SET_ITEM(t, 4, py::bool_(result.has_motion).release().ptr());
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
    if (!py::isinstance<py::array>(given) || array->descr != py::dtype::of<float>().ptr() || array->nd != 2 ||
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

PyMethodDef kAnalyze{"analyze", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(analyze)), METH_FASTCALL,
                     nullptr};

}  // namespace

void add_vision(py::module_& module) {
    using py::arg;
    module.def("grey", &grey, arg("image"), arg("out") = py::none(), arg("isa") = py::none());
    module.def("histogram", &histogram, arg("image"), arg("isa") = py::none());
    module.def("entropy", &entropy, arg("image"), arg("isa") = py::none());
    module.def("tile_entropy", &tile_entropy, arg("image"), arg("tile") = 32, arg("isa") = py::none());
    module.def("edges", &edges, arg("image"), arg("threshold") = 128.0, arg("isa") = py::none());
    module.def("difference", &difference, arg("previous"), arg("current"), arg("threshold") = 25, arg("tile") = 32,
               arg("isa") = py::none());

    py::class_<VisionStream> stream(module, "VisionStream", py::is_final());
    stream
        .def(py::init(&make_vision), arg("tile") = 32, arg("edge_threshold") = 128.0, arg("change_threshold") = 25,
             arg("isa") = py::none())
        .def("reset", &VisionStream::reset, py::call_guard<py::gil_scoped_release>())
        .def_property_readonly("isa", [](const VisionStream& self) { return std::string(self.kernels().name); });
    add_plain_method(stream, &kAnalyze);
}

}  // namespace edge_agent
