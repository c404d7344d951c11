// Picture kernels against the scalar ones, and those against first principles.
//
// Every buffer is exactly as large as its contents, so that under AddressSanitizer one byte read too far is an error.

#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "checks.h"
#include "entropy.h"
#include "kernels.h"
#include "vision_stream.h"

using namespace edge_agent;  // NOLINT

namespace {

enum class Fill { kRandom, kZero, kFull, kChecker, kGradient, kNoisyFull };
constexpr Fill kFills[] = {Fill::kRandom, Fill::kZero, Fill::kFull, Fill::kChecker, Fill::kGradient, Fill::kNoisyFull};

// A picture of exactly (height - 1) * stride + width * channels bytes, starting `offset` bytes after an allocation.
struct Picture {
    Picture(std::size_t w, std::size_t h, std::size_t channels, std::size_t padding, std::size_t offset, Fill fill)
        : width(w), height(h), stride(w * channels + padding) {
        const std::size_t size = (h - 1) * stride + w * channels;
        memory.reset(new std::uint8_t[offset + size]);
        pixels = memory.get() + offset;
        for (std::size_t i = 0; i < size; ++i) {
            pixels[i] = value(fill, i % stride, i / stride);
        }
    }

    static std::uint8_t value(Fill fill, std::size_t x, std::size_t y) {
        switch (fill) {
            case Fill::kZero:
                return 0;
            case Fill::kFull:
                return 255;
            case Fill::kChecker:
                return (x + y) % 2 != 0 ? 255 : 0;
            case Fill::kGradient:
                return static_cast<std::uint8_t>(x * 3 + y * 7);
            case Fill::kNoisyFull:
                return generator()() % 8 == 0 ? 0 : 255;
            default:
                return static_cast<std::uint8_t>(generator()());
        }
    }

    ImageView view(std::size_t channels) const {
        return ImageView{pixels, static_cast<std::ptrdiff_t>(stride), width, height, channels};
    }

    std::size_t width;
    std::size_t height;
    std::size_t stride;
    std::unique_ptr<std::uint8_t[]> memory;
    std::uint8_t* pixels = nullptr;
};

std::string label(const KernelTable& kernels, const char* what, std::size_t width, std::size_t height, Fill fill) {
    return std::string(kernels.name) + " " + what + " " + std::to_string(width) + "x" + std::to_string(height) +
           " fill " + std::to_string(static_cast<int>(fill));
}

bool same(const EdgeSums& a, const EdgeSums& b) {
    return a.edges == b.edges && a.laplacian == b.laplacian && a.laplacian_squared == b.laplacian_squared;
}

bool same(const DifferenceSums& a, const DifferenceSums& b) {
    return a.absolute == b.absolute && a.changed == b.changed;
}

void test_grey(const KernelTable& kernels) {
    for (std::size_t width = 1; width <= 150; ++width) {
        for (Fill fill : kFills) {
            const Picture bgr(width, 1, 3, 0, width % 5, fill);
            std::unique_ptr<std::uint8_t[]> wanted(new std::uint8_t[width]);
            std::unique_ptr<std::uint8_t[]> got(new std::uint8_t[width]);
            scalar_kernels().vision.grey_row(bgr.pixels, wanted.get(), width);
            kernels.vision.grey_row(bgr.pixels, got.get(), width);
            check(std::memcmp(wanted.get(), got.get(), width) == 0, label(kernels, "grey", width, 1, fill));
        }
    }
}

void test_grey_is_its_formula() {
    for (unsigned i = 0; i < 4096; ++i) {
        const std::uint8_t bgr[3] = {static_cast<std::uint8_t>(generator()()), static_cast<std::uint8_t>(generator()()),
                                     static_cast<std::uint8_t>(i)};
        std::uint8_t grey = 0;
        scalar_kernels().vision.grey_row(bgr, &grey, 1);
        check(grey == std::floor((29.0 * bgr[0] + 150.0 * bgr[1] + 77.0 * bgr[2]) / 256.0 + 0.5), "grey formula");
    }
}

void test_pictures_of_one_size(const KernelTable& kernels, std::size_t width, std::size_t height, Fill fill) {
    const Picture a(width, height, 1, width % 7, height % 4, fill);
    const Picture b(width, height, 1, height % 3, width % 5, Fill::kRandom);
    const ImageView view = a.view(1);
    std::uint32_t wanted_counts[256] = {};
    std::uint32_t counts[256] = {};
    histogram_image(scalar_kernels(), view, wanted_counts);
    histogram_image(kernels, view, counts);
    check(std::memcmp(wanted_counts, counts, sizeof counts) == 0, label(kernels, "histogram", width, height, fill));

    for (std::int32_t threshold : {0, 16384, 2080799, std::numeric_limits<std::int32_t>::max()}) {
        check(same(edge_image(scalar_kernels(), view, threshold), edge_image(kernels, view, threshold)),
              label(kernels, "edges", width, height, fill));
    }
    const TileGrid grid(width, height, 8 + width % 30);
    std::vector<float> wanted_map(grid.columns * grid.rows);
    std::vector<float> map(grid.columns * grid.rows);
    for (std::uint8_t threshold : {std::uint8_t{0}, std::uint8_t{25}, std::uint8_t{254}, std::uint8_t{255}}) {
        const DifferenceSums wanted =
            difference_image(scalar_kernels(), view, b.view(1), grid, threshold, wanted_map.data());
        const DifferenceSums got = difference_image(kernels, view, b.view(1), grid, threshold, map.data());
        check(same(wanted, got) && wanted_map == map, label(kernels, "difference", width, height, fill));
    }
    std::uint32_t tiled_counts[256] = {};
    tile_entropy_image(scalar_kernels(), view, grid, tiled_counts, wanted_map.data());
    std::memset(tiled_counts, 0, sizeof tiled_counts);
    tile_entropy_image(kernels, view, grid, tiled_counts, map.data());
    check(wanted_map == map && std::memcmp(tiled_counts, counts, sizeof counts) == 0,
          label(kernels, "tile entropy", width, height, fill));
}

void test_pictures(const KernelTable& kernels) {
    const std::size_t heights[] = {1, 2, 3, 9, 33};
    for (std::size_t width = 1; width <= 100; ++width) {
        for (std::size_t height : heights) {
            for (Fill fill : kFills) {
                test_pictures_of_one_size(kernels, width, height, fill);
            }
        }
    }
    test_pictures_of_one_size(kernels, 319, 241, Fill::kRandom);
    // Long enough for 32-bit lanes to overflow if they were not flushed.
    for (Fill fill : {Fill::kChecker, Fill::kNoisyFull}) {
        test_pictures_of_one_size(kernels, 65535, 3, fill);
    }
}

void test_largest_block(const KernelTable& kernels) {
    const Picture dark(1024, 1024, 1, 0, 0, Fill::kZero);
    const Picture bright(1024, 1024, 1, 0, 0, Fill::kFull);
    std::uint32_t absolute[256] = {};
    ColumnSums sums{absolute, 0};
    kernels.vision.difference_rows(dark.pixels, 1024, bright.pixels, 1024, 1024, 1024, 25, &sums);
    bool good = sums.changed == kMaxBlockPixels;
    for (std::size_t i = 0; i < 256; i += 2) {
        good = good && absolute[i] + absolute[i + 1] == 255U * 8 * 1024;
    }
    check(good, "difference of largest block");
}

void test_streams_of_frames(const KernelTable& kernels) {
    VisionStream wanted(scalar_kernels(), 32, 16384, 25);
    VisionStream got(kernels, 32, 16384, 25);
    const std::size_t sizes[][2] = {{1, 1}, {70, 45}, {70, 45}, {45, 70}, {45, 70}, {2, 200}, {2, 200}};
    std::size_t width_before = 0;
    std::size_t height_before = 0;
    for (const auto& size : sizes) {
        const Picture bgr(size[0], size[1], 3, 5, 1, Fill::kRandom);
        const TileGrid grid(size[0], size[1], 32);
        std::vector<float> maps[4];
        for (auto& map : maps) {
            map.resize(grid.columns * grid.rows);
        }
        const VisionResult a = wanted.analyze(bgr.view(3), maps[0].data(), maps[1].data());
        const VisionResult b = got.analyze(bgr.view(3), maps[2].data(), maps[3].data());
        const bool expected = width_before == size[0] && height_before == size[1];
        check(a.has_motion == expected && b.has_motion == expected, "motion is valid after a frame of the same size");
        check(a.entropy == b.entropy && a.edge_density == b.edge_density &&
                  a.laplacian_variance == b.laplacian_variance &&
                  a.mean_absolute_difference == b.mean_absolute_difference && a.changed_share == b.changed_share &&
                  maps[0] == maps[2] && maps[1] == maps[3],
              label(kernels, "vision stream", size[0], size[1], Fill::kRandom));
        width_before = size[0];
        height_before = size[1];
    }
}

void test_known_pictures() {
    std::uint32_t counts[256] = {};
    check(entropy_bits(counts, 0) == 0.0, "entropy of nothing");
    counts[7] = 12345;
    check(entropy_bits(counts, 12345) == 0.0, "entropy of a constant picture");
    counts[9] = 12345;
    check(std::fabs(entropy_bits(counts, 24690) - 1.0) < 1e-12, "entropy of two levels");
    for (auto& count : counts) {
        count = 3;
    }
    check(std::fabs(entropy_bits(counts, 768) - 8.0) < 1e-12, "entropy of all levels");
    const Picture checker(4, 4, 1, 0, 0, Fill::kChecker);  // Laplacian +-1020, two of each
    check(laplacian_variance(edge_image(scalar_kernels(), checker.view(1), 0), 4, 4) == 1020.0 * 1020.0,
          "Laplacian variance of a checkerboard");
    Picture spot(3, 3, 1, 0, 0, Fill::kZero);  // one interior pixel: whatever its Laplacian, it does not vary
    spot.pixels[4] = 255;
    check(laplacian_variance(edge_image(scalar_kernels(), spot.view(1), 0), 3, 3) == 0.0,
          "Laplacian variance of one pixel");
}

}  // namespace

void test_vision(const KernelTable& kernels) {
    test_grey(kernels);
    test_pictures(kernels);
    test_largest_block(kernels);
    test_streams_of_frames(kernels);
}

void test_vision_is_its_definition() {
    test_grey_is_its_formula();
    test_known_pictures();
}
