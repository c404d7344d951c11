// Pictures in Python: the single kernels.

#include <algorithm>
#include <cstdint>
#include <utility>

#include "bindings.h"
#include "entropy.h"
#include "vision_settings.h"

namespace edge_agent {
namespace {

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
}

}  // namespace edge_agent
