// Checks every instruction set of this machine against the scalar kernels, and those against first principles.
//
// usage: kernel_tests [ISA]...    fails if one of the named instruction sets is not available here
//
// Every buffer is exactly as large as its contents, so that under AddressSanitizer one byte read too far is an error.

#include <algorithm>
#include <cmath>
#include <complex>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <limits>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "kernels.h"
#include "sound.h"
#include "vision.h"

namespace {

using namespace edge_agent;  // NOLINT

int checks = 0;
int failures = 0;

void check(bool good, const std::string& what) {
    ++checks;
    if (!good) {
        ++failures;
        std::fprintf(stderr, "FAILED: %s\n", what.c_str());
    }
}

std::mt19937& generator() {
    static std::mt19937 engine(20240501);
    return engine;
}

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
            scalar_kernels()->grey_row(bgr.pixels, wanted.get(), width);
            kernels.grey_row(bgr.pixels, got.get(), width);
            check(std::memcmp(wanted.get(), got.get(), width) == 0, label(kernels, "grey", width, 1, fill));
        }
    }
}

void test_grey_is_its_formula() {
    for (unsigned i = 0; i < 4096; ++i) {
        const std::uint8_t bgr[3] = {static_cast<std::uint8_t>(generator()()), static_cast<std::uint8_t>(generator()()),
                                     static_cast<std::uint8_t>(i)};
        std::uint8_t grey = 0;
        scalar_kernels()->grey_row(bgr, &grey, 1);
        check(grey == std::floor((29.0 * bgr[0] + 150.0 * bgr[1] + 77.0 * bgr[2]) / 256.0 + 0.5), "grey formula");
    }
}

void test_pictures_of_one_size(const KernelTable& kernels, std::size_t width, std::size_t height, Fill fill) {
    const Picture a(width, height, 1, width % 7, height % 4, fill);
    const Picture b(width, height, 1, height % 3, width % 5, Fill::kRandom);
    const ImageView view = a.view(1);
    std::uint32_t wanted_counts[256] = {};
    std::uint32_t counts[256] = {};
    histogram_image(*scalar_kernels(), view, wanted_counts);
    histogram_image(kernels, view, counts);
    check(std::memcmp(wanted_counts, counts, sizeof counts) == 0, label(kernels, "histogram", width, height, fill));

    for (std::int32_t threshold : {0, 16384, 2080799, std::numeric_limits<std::int32_t>::max()}) {
        check(same(edge_image(*scalar_kernels(), view, threshold), edge_image(kernels, view, threshold)),
              label(kernels, "edges", width, height, fill));
    }
    const TileGrid grid(width, height, 8 + width % 30);
    std::vector<float> wanted_map(grid.columns * grid.rows);
    std::vector<float> map(grid.columns * grid.rows);
    for (std::uint8_t threshold : {std::uint8_t{0}, std::uint8_t{25}, std::uint8_t{254}, std::uint8_t{255}}) {
        const DifferenceSums wanted =
            difference_image(*scalar_kernels(), view, b.view(1), grid, threshold, wanted_map.data());
        const DifferenceSums got = difference_image(kernels, view, b.view(1), grid, threshold, map.data());
        check(same(wanted, got) && wanted_map == map, label(kernels, "difference", width, height, fill));
    }
    std::uint32_t tiled_counts[256] = {};
    tile_entropy_image(*scalar_kernels(), view, grid, tiled_counts, wanted_map.data());
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
    DifferenceSums sums;
    kernels.difference_block(dark.pixels, 1024, bright.pixels, 1024, 1024, 1024, 25, &sums);
    check(sums.absolute == 255ULL * kMaxBlockPixels && sums.changed == kMaxBlockPixels, "difference of largest block");
}

void test_streams_of_frames(const KernelTable& kernels) {
    VisionStream wanted(*scalar_kernels(), 32, 16384, 25);
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
    check(laplacian_variance(edge_image(*scalar_kernels(), checker.view(1), 0), 4, 4) == 1020.0 * 1020.0,
          "Laplacian variance of a checkerboard");
    Picture spot(3, 3, 1, 0, 0, Fill::kZero);  // one interior pixel: whatever its Laplacian, it does not vary
    spot.pixels[4] = 255;
    check(laplacian_variance(edge_image(*scalar_kernels(), spot.view(1), 0), 3, 3) == 0.0,
          "Laplacian variance of one pixel");
}

std::vector<float> noise(std::size_t count, float amplitude) {
    std::uniform_real_distribution<float> uniform(-amplitude, amplitude);
    std::vector<float> samples(count);
    for (float& sample : samples) {
        sample = uniform(generator());
    }
    return samples;
}

std::vector<float> sine(std::size_t count, double radians) {
    std::vector<float> samples(count);
    for (std::size_t n = 0; n < count; ++n) {
        samples[n] = static_cast<float>(0.8 * std::sin(radians * static_cast<double>(n)));
    }
    return samples;
}

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
    return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0);
}

// Largest error against the scalar kernels, per feature, as docs/features.md states it.
bool agree(const std::vector<float>& a, const std::vector<float>& b) {
    if (a.size() != b.size()) {
        return false;
    }
    for (std::size_t i = 0; i < a.size(); ++i) {
        if (!(std::fabs(a[i] - b[i]) <= 1e-4F + 1e-4F * std::fabs(b[i]))) {
            return false;
        }
    }
    return true;
}

void test_sound(const KernelTable& kernels) {
    for (std::size_t window = kMinWindow; window <= kMaxWindow; window *= 2) {
        for (std::size_t hop : {std::size_t{1}, std::size_t{7}, std::size_t{160}, window, 2 * window + 3}) {
            const std::size_t count = window + (window > 512 ? 3 : 21) * hop + 1;
            const std::string name =
                std::string(kernels.name) + " sound window " + std::to_string(window) + " hop " + std::to_string(hop);
            for (const auto& samples : {noise(count, 1.0F), noise(count, 1e-3F), sine(count, 0.3),
                                        std::vector<float>(count, 0.0F), std::vector<float>(count, 1.0F)}) {
                SoundStream wanted(*scalar_kernels(), window, hop);
                SoundStream got(kernels, window, hop);
                check(agree(got.feed(samples.data(), count), wanted.feed(samples.data(), count)), name);
            }
        }
    }
}

// The rows of several results of feed, one after the other.
std::vector<float> joined(const std::vector<std::vector<float>>& parts) {
    std::vector<float> all;
    for (std::size_t row = 0; row < kSoundFeatures; ++row) {
        for (const auto& part : parts) {
            const std::ptrdiff_t frames = static_cast<std::ptrdiff_t>(part.size() / kSoundFeatures);
            const auto begin = part.begin() + static_cast<std::ptrdiff_t>(row) * frames;
            all.insert(all.end(), begin, begin + frames);
        }
    }
    return all;
}

void test_chunks_do_not_matter(const KernelTable& kernels) {
    const std::vector<float> samples = noise(6000, 1.0F);
    for (std::size_t hop : {std::size_t{1}, std::size_t{33}, std::size_t{64}, std::size_t{200}, std::size_t{1500}}) {
        SoundStream whole(kernels, 64, hop);
        const std::vector<float> wanted = whole.feed(samples.data(), samples.size());
        check(wanted.size() == kSoundFeatures * ((samples.size() - 64) / hop + 1), "number of frames");
        for (std::size_t largest : {std::size_t{1}, std::size_t{90}, std::size_t{2000}}) {
            SoundStream stream(kernels, 64, hop);
            std::vector<std::vector<float>> parts;
            for (std::size_t at = 0; at < samples.size();) {
                const std::size_t count = std::min<std::size_t>(samples.size() - at, 1 + generator()() % largest);
                const std::unique_ptr<float[]> chunk(new float[count]);
                std::memcpy(chunk.get(), samples.data() + at, count * sizeof(float));
                parts.push_back(stream.feed(chunk.get(), count));
                at += count;
            }
            check(same_bits(joined(parts), wanted), std::string(kernels.name) + " chunks, hop " + std::to_string(hop));
        }
    }
}

// The features of one frame, from the definition, in double and with a slow Fourier transform.
std::vector<double> slow_features(const float* samples, std::size_t window, std::vector<double>* magnitudes) {
    const double pi = std::acos(-1.0);
    const std::size_t bins = window / 2 + 1;
    std::vector<double> weighted(window);
    double weight_sum = 0.0;
    double energy = 0.0;
    for (std::size_t n = 0; n < window; ++n) {
        const double hann = 0.5 - 0.5 * std::cos(2.0 * pi * static_cast<double>(n) / static_cast<double>(window));
        weight_sum += hann;
        weighted[n] = hann * static_cast<double>(samples[n]);
        energy += weighted[n] * weighted[n] / static_cast<double>(window);
    }
    double total = 0.0, logs = 0.0, products = 0.0, flux = 0.0;
    for (std::size_t k = 0; k < bins; ++k) {
        std::complex<double> sum = 0.0;
        for (std::size_t n = 0; n < window; ++n) {
            sum += weighted[n] *
                   std::polar(1.0, -2.0 * pi * static_cast<double>(k * n % window) / static_cast<double>(window));
        }
        const double magnitude = 2.0 * std::abs(sum) / weight_sum;
        const double floored = std::max(magnitude * magnitude, static_cast<double>(kPowerFloor));
        flux += std::max(0.0, magnitude - (*magnitudes)[k]);
        (*magnitudes)[k] = magnitude;
        total += floored;
        logs += std::log(floored);
        products += floored * std::log(floored);
    }
    const double n = static_cast<double>(bins);
    return {flux, (std::log(total) - products / total) / std::log(n), std::exp(logs / n) / (total / n), energy};
}

void test_sound_is_its_definition() {
    for (std::size_t window : {std::size_t{32}, std::size_t{64}, std::size_t{512}, std::size_t{1024}}) {
        const std::vector<float> samples = noise(2 * window, 0.5F);
        SoundStream stream(*scalar_kernels(), window, window);
        const std::vector<float> got = stream.feed(samples.data(), samples.size());  // two frames
        std::vector<double> magnitudes(window / 2 + 1);
        slow_features(samples.data(), window, &magnitudes);
        const std::vector<double> wanted = slow_features(samples.data() + window, window, &magnitudes);
        check(got[0] == 0.0F, "the first frame has no flux");
        for (std::size_t row = 0; row < wanted.size(); ++row) {
            check(std::fabs(static_cast<double>(got[2 * row + 1]) - wanted[row]) <= 1e-5 * (1.0 + wanted[row]),
                  "sound feature " + std::to_string(row) + " of window " + std::to_string(window));
        }
    }
}

void test_int16_is_float_over_32768(const KernelTable& kernels) {
    std::vector<std::int16_t> integers(2000);
    std::vector<float> floats(2000);
    for (std::size_t i = 0; i < integers.size(); ++i) {
        integers[i] = static_cast<std::int16_t>(i < 2 ? -32768 + 65535 * static_cast<int>(i) : generator()());
        floats[i] = static_cast<float>(integers[i]) / 32768.0F;
    }
    SoundStream a(kernels, 128, 50);
    SoundStream b(kernels, 128, 50);
    check(same_bits(a.feed(integers.data(), 2000), b.feed(floats.data(), 2000)), "int16 and float32");
}

void test_unusable_samples_change_nothing(const KernelTable& kernels) {
    const std::vector<float> good = noise(700, 1.0F);
    for (float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(), -1.1e6F}) {
        SoundStream stream(kernels, 128, 50);
        SoundStream untouched(kernels, 128, 50);
        stream.feed(good.data(), 100);
        untouched.feed(good.data(), 100);
        std::vector<float> chunk = good;
        chunk[699] = bad;
        bool refused = false;
        try {
            stream.feed(chunk.data(), chunk.size());
        } catch (const std::invalid_argument&) {
            refused = true;
        }
        check(refused, "an unusable sample is refused");
        check(same_bits(stream.feed(good.data(), 700), untouched.feed(good.data(), 700)), "and changes nothing");
    }
}

void test_extreme_samples_stay_finite(const KernelTable& kernels) {
    for (float value : {kMaxSample, -kMaxSample, 1e-30F, std::numeric_limits<float>::denorm_min()}) {
        std::vector<float> samples(4096);
        for (std::size_t i = 0; i < samples.size(); ++i) {
            samples[i] = i % 3 == 0 ? value : -value;
        }
        SoundStream stream(kernels, 512, 160);
        for (float feature : stream.feed(samples.data(), samples.size())) {
            check(std::isfinite(feature) && feature >= 0.0F, "extreme samples give finite features");
        }
    }
}

void test_choice() {
    bool refused = false;
    setenv("EDGE_AGENT_ISA", "mmx", 1);
    try {
        active_kernels();
    } catch (const std::invalid_argument& error) {
        refused =
            std::strstr(error.what(), "EDGE_AGENT_ISA") != nullptr && std::strstr(error.what(), "scalar") != nullptr;
    }
    check(refused, "an unknown EDGE_AGENT_ISA is refused and the available ones named");
    setenv("EDGE_AGENT_ISA", "scalar", 1);
    check(std::strcmp(active_kernels().name, "scalar") == 0, "EDGE_AGENT_ISA is obeyed");
    unsetenv("EDGE_AGENT_ISA");
    check(std::strcmp(active_kernels().name, "scalar") == 0, "the choice stands for the life of the process");
}

void test_kernels(const KernelTable& kernels) {
    test_grey(kernels);
    test_pictures(kernels);
    test_largest_block(kernels);
    test_streams_of_frames(kernels);
    test_sound(kernels);
    test_chunks_do_not_matter(kernels);
    test_int16_is_float_over_32768(kernels);
    test_unusable_samples_change_nothing(kernels);
    test_extreme_samples_stay_finite(kernels);
}

}  // namespace

int main(int argc, char** argv) {
    for (int i = 1; i < argc; ++i) {
        try {
            kernels_named(argv[i]);
        } catch (const std::invalid_argument& error) {
            std::fprintf(stderr, "kernel_tests: %s\n", error.what());
            return 2;
        }
    }
    test_choice();
    test_grey_is_its_formula();
    test_known_pictures();
    test_sound_is_its_definition();
    for (const KernelTable* kernels : available_kernels()) {
        const int before = checks;
        test_kernels(*kernels);
        std::printf("%s: %d checks\n", kernels->name, checks - before);
    }
    std::printf("%d checks, %d failed\n", checks, failures);
    return failures == 0 ? 0 : 1;
}
