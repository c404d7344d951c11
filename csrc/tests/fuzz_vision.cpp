// Random pictures and sequences of frames: each kernel, and VisionStream, against the scalar single kernels.

#include <algorithm>
#include <cmath>

#include "entropy.h"
#include "fuzz.h"
#include "vision_stream.h"

namespace edge_agent {
namespace {

constexpr const char* kFills[] = {"constant", "noise",     "saturated", "gradient",
                                  "checker",  "flat runs", "scene",     "near"};
constexpr std::size_t kFillKinds = sizeof kFills / sizeof kFills[0];

// A picture with random size, stride, alignment and content.
struct Picture {
    Picture(std::size_t w, std::size_t h, std::size_t c, Random& random)
        : width(w),
          height(h),
          channels(c),
          stride(w * c + (random.one_in(2) ? 0 : random.between(1, 70))),
          offset(random.one_in(2) ? 0 : random.between(1, 63)),
          memory((h - 1) * stride + w * c, offset),
          fill(random.next() % kFillKinds) {
        paint(random);
    }

    void paint(Random& random) {
        const std::uint8_t base = random.byte();
        const std::size_t slope_x = random.between(0, 40), slope_y = random.between(0, 40);
        const std::size_t period = random.between(1, 12);
        std::size_t left = 0;  // pixels left of a flat run
        std::uint8_t level = base;
        for (std::size_t i = 0; i < (height - 1) * stride + width * channels; ++i) {
            const std::size_t x = i % stride, y = i / stride;
            switch (fill) {
                case 1:
                    level = random.byte();
                    break;
                case 2:
                    level = random.one_in(2) ? 0 : 255;
                    break;
                case 3:
                    level = static_cast<std::uint8_t>(x * slope_x + y * slope_y + base);
                    break;
                case 4:
                    level = (x / period + y / period) % 2 != 0 ? 255 : base;
                    break;
                case 5:
                    if (left-- == 0) {
                        left = random.between(0, 60);
                        level = random.one_in(3) ? base : random.byte();
                    }
                    break;
                case 6:
                    level = static_cast<std::uint8_t>(128.0 + 90.0 * std::sin(static_cast<double>(x + 2 * y) / 17.0) +
                                                      static_cast<double>(random.between(0, 7)));
                    break;
                case 7:
                    level = static_cast<std::uint8_t>(base + random.between(0, 3));
                    break;
                default:
                    break;
            }
            memory.data()[i] = level;
        }
    }

    ImageView view() const {
        return ImageView{memory.data(), static_cast<std::ptrdiff_t>(stride), width, height, channels};
    }
    std::uint8_t at(std::size_t x, std::size_t y) const { return memory.data()[y * stride + x]; }
    std::string name() const {
        return std::to_string(width) + "x" + std::to_string(height) + "x" + std::to_string(channels) + " stride " +
               std::to_string(stride) + " offset " + std::to_string(offset) + " " + kFills[fill];
    }

    std::size_t width, height, channels, stride, offset;
    Exact<std::uint8_t> memory;
    std::size_t fill;
};

struct Size {
    std::size_t width, height;
};

// Mostly small; now and then as wide as lanes of 32 bits must be flushed for, or with many tiles.
Size random_size(Random& random) {
    if (random.one_in(400)) {
        return {random.between(30000, 65535), random.between(1, 4)};
    }
    if (random.one_in(40)) {
        return {random.between(200, 700), random.between(100, 300)};
    }
    return {random.size(200), random.size(60)};
}

Picture random_picture(std::size_t channels, Random& random) {
    const Size size = random_size(random);
    return {size.width, size.height, channels, random};
}

// From 8 to 1024; mostly such that there are several tiles, and often a power of two.
std::size_t random_side(Random& random) {
    const std::size_t usual[] = {8, 16, 32, 64};
    if (random.one_in(2)) {
        return random.pick(usual);
    }
    return random.one_in(8) ? random.between(8, 1024) : random.between(8, 40);
}

// Squared magnitude of one pixel, so that thresholds meet it exactly.
std::int32_t sobel_squared(const Picture& grey, std::size_t x, std::size_t y) {
    const auto p = [&](std::size_t dx, std::size_t dy) { return std::int32_t{grey.at(x + dx - 1, y + dy - 1)}; };
    const std::int32_t gx = p(2, 0) + 2 * p(2, 1) + p(2, 2) - p(0, 0) - 2 * p(0, 1) - p(0, 2);
    const std::int32_t gy = p(0, 2) + 2 * p(1, 2) + p(2, 2) - p(0, 0) - 2 * p(1, 0) - p(2, 0);
    return gx * gx + gy * gy;
}

std::int32_t random_edge_threshold(const Picture& grey, Random& random) {
    const std::int32_t usual[] = {0, 1, 16384, 2080799, 2080800, 2147483647};
    if (grey.width < 3 || grey.height < 3 || grey.channels != 1 || random.one_in(4)) {
        return random.pick(usual);
    }
    const std::int32_t exact =
        sobel_squared(grey, random.between(1, grey.width - 2), random.between(1, grey.height - 2));
    return std::max<std::int32_t>(0, exact + static_cast<std::int32_t>(random.between(0, 2)) - 1);
}

// Levels near those of `other`, or right at a distance of `threshold`.
void paint_near(Picture* picture, const Picture& other, std::uint8_t threshold, Random& random) {
    for (std::size_t y = 0; y < picture->height; ++y) {
        for (std::size_t x = 0; x < picture->width * picture->channels; ++x) {
            const int distance = static_cast<int>(random.between(0, 3)) - 1 + (random.one_in(2) ? threshold : 0);
            const int level = other.at(x, y) + (random.one_in(2) ? distance : -distance);
            picture->memory.data()[y * picture->stride + x] =
                static_cast<std::uint8_t>(std::min(255, std::max(0, level)));
        }
    }
}

void fuzz_grey(const KernelTable& kernels, Random& random) {
    const Picture bgr = random_picture(3, random);
    const std::size_t stride = bgr.width + (random.one_in(2) ? 0 : random.between(1, 70));
    const std::size_t count = stride * (bgr.height - 1) + bgr.width;
    Guarded<std::uint8_t> wanted(count), got(count);
    for (Guarded<std::uint8_t>* grey : {&wanted, &got}) {
        std::fill_n(grey->data(), count, std::uint8_t{0xA5});  // what lies between rows must stay
    }
    grey_image(scalar_kernels(), bgr.view(), wanted.data(), static_cast<std::ptrdiff_t>(stride));
    grey_image(kernels, bgr.view(), got.data(), static_cast<std::ptrdiff_t>(stride));
    expect_same(wanted, got, "grey " + bgr.name() + " to a stride of " + std::to_string(stride));
}

void fuzz_histograms(const KernelTable& kernels, Random& random) {
    const Picture grey = random_picture(1, random);
    const TileGrid grid(grey.width, grey.height, random_side(random));
    Guarded<std::uint32_t> wanted(256), got(256), tiled(256);
    for (Guarded<std::uint32_t>* counts : {&wanted, &got, &tiled}) {
        std::fill_n(counts->data(), 256, 0U);
    }
    histogram_image(scalar_kernels(), grey.view(), wanted.data());
    histogram_image(kernels, grey.view(), got.data());
    expect_same(wanted, got, "histogram " + grey.name());
    const std::string what = "tile entropy " + grey.name() + " tile " + std::to_string(grid.side);
    Guarded<float> wanted_map(grid.columns * grid.rows), map(grid.columns * grid.rows);
    tile_entropy_image(kernels, grey.view(), grid, tiled.data(), map.data());
    expect_same(wanted, tiled, what);
    std::fill_n(tiled.data(), 256, 0U);
    tile_entropy_image(scalar_kernels(), grey.view(), grid, tiled.data(), wanted_map.data());
    expect_same(wanted_map, map, what);
}

void fuzz_edges(const KernelTable& kernels, Random& random) {
    const Picture grey = random_picture(1, random);
    const std::int32_t threshold = random_edge_threshold(grey, random);
    const EdgeSums wanted = edge_image(scalar_kernels(), grey.view(), threshold);
    const EdgeSums got = edge_image(kernels, grey.view(), threshold);
    expect(wanted.edges == got.edges && wanted.laplacian == got.laplacian &&
               wanted.laplacian_squared == got.laplacian_squared,
           "edges " + grey.name() + " threshold squared " + std::to_string(threshold));
}

void fuzz_difference(const KernelTable& kernels, Random& random) {
    const Picture before = random_picture(1, random);
    Picture after(before.width, before.height, 1, random);
    const std::uint8_t usual[] = {0, 1, 25, 127, 128, 254, 255};
    const std::uint8_t threshold = random.one_in(2) ? random.pick(usual) : random.byte();
    if (!random.one_in(3)) {
        paint_near(&after, before, threshold, random);
    }
    const TileGrid grid(before.width, before.height, random_side(random));
    Guarded<float> wanted_map(grid.columns * grid.rows), map(grid.columns * grid.rows);
    const DifferenceSums wanted =
        difference_image(scalar_kernels(), before.view(), after.view(), grid, threshold, wanted_map.data());
    const DifferenceSums got = difference_image(kernels, before.view(), after.view(), grid, threshold, map.data());
    const std::string what = "difference of " + before.name() + " and " + after.name() + " threshold " +
                             std::to_string(threshold) + " tile " + std::to_string(grid.side);
    expect(wanted.absolute == got.absolute && wanted.changed == got.changed, what);
    expect_same(wanted_map, map, what);
}

// What a stream should say of one frame, from the scalar single kernels.
struct Wanted {
    Wanted(const Picture& frame, const std::vector<std::uint8_t>& before, const TileGrid& grid, std::int32_t edge,
           std::uint8_t change)
        : grey(frame.width * frame.height), entropies(grid.columns * grid.rows), motions(grid.columns * grid.rows) {
        const KernelTable& scalar = scalar_kernels();
        if (frame.channels == 3) {
            grey_image(scalar, frame.view(), grey.data(), static_cast<std::ptrdiff_t>(frame.width));
        } else {
            for (std::size_t y = 0; y < frame.height; ++y) {
                std::memcpy(grey.data() + y * frame.width, frame.view().row(y), frame.width);
            }
        }
        const ImageView now = packed(grey, frame);
        std::uint32_t counts[256] = {};
        tile_entropy_image(scalar, now, grid, counts, entropies.data());
        const EdgeSums edges = edge_image(scalar, now, edge);
        result.entropy = entropy_bits(counts, grey.size());
        result.edge_density = edge_density(edges, frame.width, frame.height);
        result.laplacian_variance = laplacian_variance(edges, frame.width, frame.height);
        result.has_motion = !before.empty();
        std::fill_n(motions.data(), motions.count(), 0.0F);
        if (result.has_motion) {
            const DifferenceSums sums =
                difference_image(scalar, packed(before, frame), now, grid, change, motions.data());
            result.mean_absolute_difference = share(sums.absolute, grey.size());
            result.changed_share = share(sums.changed, grey.size());
        }
    }

    static ImageView packed(const std::vector<std::uint8_t>& grey, const Picture& frame) {
        return ImageView{grey.data(), static_cast<std::ptrdiff_t>(frame.width), frame.width, frame.height, 1};
    }

    std::vector<std::uint8_t> grey;
    Guarded<float> entropies;
    Guarded<float> motions;
    VisionResult result;
};

bool same(const VisionResult& a, const VisionResult& b) {
    return a.entropy == b.entropy && a.edge_density == b.edge_density && a.laplacian_variance == b.laplacian_variance &&
           a.has_motion == b.has_motion && a.mean_absolute_difference == b.mean_absolute_difference &&
           a.changed_share == b.changed_share;
}

// Frames of two sizes and of one or three channels through one stream, with a reset now and then.
void fuzz_stream(const KernelTable& kernels, Random& random) {
    const Size sizes[] = {random_size(random), {random.size(100), random.size(40)}};
    const std::size_t side = random_side(random);
    const std::uint8_t change = random.byte();
    const Picture sample(random.size(20) + 2, random.size(20) + 2, 1, random);
    const std::int32_t edge = random_edge_threshold(sample, random);
    VisionStream stream(kernels, side, edge, change);
    std::vector<std::uint8_t> before;
    Size last{0, 0};
    const std::size_t frames = random.between(1, 5);
    for (std::size_t i = 0; i < frames; ++i) {
        const Size size = random.one_in(4) ? sizes[1] : sizes[0];
        if (random.one_in(10)) {
            stream.reset();
            before.clear();
        }
        const Picture frame(size.width, size.height, random.one_in(3) ? 1 : 3, random);
        if (size.width != last.width || size.height != last.height) {
            before.clear();
        }
        const TileGrid grid(size.width, size.height, side);
        Wanted wanted(frame, before, grid, edge, change);
        Guarded<float> entropies(grid.columns * grid.rows), motions(grid.columns * grid.rows);
        const VisionResult result = stream.analyze(frame.view(), entropies.data(), motions.data());
        const std::string what = "stream frame " + std::to_string(i) + " " + frame.name() + " tile " +
                                 std::to_string(side) + " thresholds " + std::to_string(edge) + " " +
                                 std::to_string(change);
        expect(same(wanted.result, result), what);
        expect_same(wanted.entropies, entropies, what + ", entropy map");
        expect_same(wanted.motions, motions, what + ", motion map");
        before = std::move(wanted.grey);
        last = size;
    }
}

}  // namespace

void fuzz_vision(const KernelTable& kernels, Random& random) {
    using Part = void (*)(const KernelTable&, Random&);
    const Part parts[] = {fuzz_grey, fuzz_histograms, fuzz_edges, fuzz_difference, fuzz_stream, fuzz_stream};
    random.pick(parts)(kernels, random);
}

}  // namespace edge_agent
