// Runs one kernel a given number of times on fixed data; tools/count_instructions.py counts the instructions of it.
//
// usage: count_kernels                   "isas" and their names; then one line a case: name, unit, units in one run
//        count_kernels ISA CASE RUNS     one run to warm up, then RUNS; the difference of two counts is what runs cost

#include <complex>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "entropy.h"
#include "kernels.h"
#include "sound.h"
#include "tensor.h"
#include "vision_stream.h"

using namespace edge_agent;  // NOLINT

namespace {

constexpr std::size_t kWidth = 640;
constexpr std::size_t kHeight = 480;
constexpr std::size_t kPixels = kWidth * kHeight;
constexpr std::size_t kHop = 160;
constexpr std::size_t kWindow = 512;
constexpr std::size_t kSamples = 32000;  // 2 s at 16 kHz
constexpr std::size_t kHops = 100;
constexpr std::size_t kTokens = 64;
constexpr std::size_t kWidthOfToken = 576;
constexpr std::size_t kValues = kTokens * kWidthOfToken;

// What one run of a case covers, and how to make it: the data is made once, the run is called again and again.
struct Case {
    const char* name;
    const char* unit;
    double units;
    std::function<std::function<void()>(const KernelTable&)> prepare;
};

std::uint32_t next_random(std::uint32_t* state) { return *state = *state * 1664525U + 1013904223U; }

// amplitude * sin(radians * (i + shift)) for the first `count` values of i: cheap to make, as it is counted too.
std::vector<float> wave(std::size_t count, double amplitude, double radians, std::size_t shift) {
    const std::complex<double> step = std::polar(1.0, radians);
    std::complex<double> at = std::polar(amplitude, radians * static_cast<double>(shift));
    std::vector<float> values(count);
    for (float& value : values) {
        value = static_cast<float>(at.imag());
        at = {at.real() * step.real() - at.imag() * step.imag(), at.real() * step.imag() + at.imag() * step.real()};
    }
    return values;
}

// A smooth scene with a few hard edges and sensor noise, moved sideways by `shift` pixels.
std::vector<std::uint8_t> picture(std::size_t channels, std::size_t shift) {
    const std::vector<float> across = wave(kWidth, 60.0, 0.011, shift);
    const std::vector<float> down = wave(kHeight, 1.0, 0.014, 0);
    std::vector<std::uint8_t> pixels;
    pixels.reserve(kPixels * channels);
    std::uint32_t state = 12345U + static_cast<std::uint32_t>(shift);
    for (std::size_t y = 0; y < kHeight; ++y) {
        for (std::size_t x = 0; x < kWidth; ++x) {
            const std::uint32_t box = ((x + shift) / 128 + y / 96) % 2 != 0 ? 30U : 0U;
            const std::uint32_t scene = static_cast<std::uint32_t>(110.0F + across[x] * down[y]) + box;
            for (std::size_t channel = 0; channel < channels; ++channel) {
                pixels.push_back(static_cast<std::uint8_t>(scene + (next_random(&state) >> 29) + 10 * channel));
            }
        }
    }
    return pixels;
}

std::vector<float> tone_and_noise(std::size_t count) {
    std::vector<float> samples = wave(count, 0.3, 0.09, 0);
    std::uint32_t state = 99U;
    for (float& sample : samples) {
        sample += static_cast<float>(next_random(&state) >> 8) * (0.1F / 16777216.0F) - 0.05F;
    }
    return samples;
}

ImageView view_of(const std::vector<std::uint8_t>& pixels, std::size_t channels) {
    return ImageView{pixels.data(), static_cast<std::ptrdiff_t>(kWidth * channels), kWidth, kHeight, channels};
}

std::function<void()> grey_case(const KernelTable& kernels) {
    return [&kernels, bgr = picture(3, 0), grey = std::vector<std::uint8_t>(kPixels)]() mutable {
        grey_image(kernels, view_of(bgr, 3), grey.data(), kWidth);
    };
}

std::function<void()> histogram_case(const KernelTable& kernels) {
    return [&kernels, grey = picture(1, 0)] {
        std::uint32_t counts[256] = {};
        histogram_image(kernels, view_of(grey, 1), counts);
        entropy_bits(counts, kPixels);
    };
}

std::function<void()> tile_case(const KernelTable& kernels, std::size_t side) {
    const TileGrid grid(kWidth, kHeight, side);
    return [&kernels, grid, grey = picture(1, 0), map = std::vector<float>(grid.columns * grid.rows)]() mutable {
        std::uint32_t counts[256] = {};
        tile_entropy_image(kernels, view_of(grey, 1), grid, counts, map.data());
        entropy_bits(counts, kPixels);
    };
}

std::function<void()> edge_case(const KernelTable& kernels) {
    return [&kernels, grey = picture(1, 0)] { edge_image(kernels, view_of(grey, 1), 128 * 128); };
}

std::function<void()> difference_case(const KernelTable& kernels) {
    const TileGrid grid(kWidth, kHeight, 32);
    return [&kernels, grid, a = picture(1, 0), b = picture(1, 3),
            map = std::vector<float>(grid.columns * grid.rows)]() mutable {
        difference_image(kernels, view_of(a, 1), view_of(b, 1), grid, 25, map.data());
    };
}

// Two BGR frames in turn through one stream; one run is one frame.
std::function<void()> all_vision_case(const KernelTable& kernels) {
    auto stream = std::make_shared<VisionStream>(kernels, 32, 128 * 128, 25);
    const TileGrid grid(kWidth, kHeight, 32);
    return [stream, a = picture(3, 0), b = picture(3, 3), maps = std::vector<float>(2 * grid.columns * grid.rows),
            even = true]() mutable {
        stream->analyze(view_of(even ? a : b, 3), maps.data(), maps.data() + maps.size() / 2);
        even = !even;
    };
}

// Frames of kWindow every kHop samples; the stream goes on from run to run, so that each has the same number.
std::function<void()> sound_case(const KernelTable& kernels, std::size_t chunk, std::size_t total) {
    auto stream = std::make_shared<SoundStream>(kernels, kWindow, kHop);
    return [stream, chunk, samples = tone_and_noise(total)] {
        for (std::size_t at = 0; at < samples.size(); at += chunk) {
            stream->feed(samples.data() + at, chunk);
        }
    };
}

// Embeddings of kTokens tokens, quantised, and those of the next frame, a little different.
struct Tensors {
    explicit Tensors(const KernelTable& table) : kernels(table), x(tone_and_noise(kValues)), next(x) {
        std::uint32_t state = 7U;
        for (float& value : next) {
            value = value * 0.99F + static_cast<float>(next_random(&state) >> 24) * 1e-6F;
        }
        quantise_int8(kernels, rows(x), rows(values), scales.data());
        quantise_int4(kernels, rows(x), halves(), scales4.data());
    }
    template <class Value>
    static Rows<Value> rows(std::vector<Value>& data) {
        return {data.data(), static_cast<std::ptrdiff_t>(kWidthOfToken), kTokens, kWidthOfToken};
    }
    template <class Value>
    static Rows<const Value> rows(const std::vector<Value>& data) {
        return {data.data(), static_cast<std::ptrdiff_t>(kWidthOfToken), kTokens, kWidthOfToken};
    }
    Rows<std::uint8_t> halves() {
        return {packed.data(), static_cast<std::ptrdiff_t>(kWidthOfToken / 2), kTokens, kWidthOfToken / 2};
    }

    const KernelTable& kernels;
    const std::vector<float> x;
    std::vector<float> next;
    std::vector<float> made = std::vector<float>(kValues);
    std::vector<std::int8_t> values = std::vector<std::int8_t>(kValues);
    std::vector<std::int8_t> delta = std::vector<std::int8_t>(kValues);
    std::vector<std::uint8_t> packed = std::vector<std::uint8_t>(kValues / 2);
    std::vector<float> scales = std::vector<float>(kTokens);
    std::vector<float> scales4 = std::vector<float>(kTokens);
    std::vector<std::uint8_t> peaks = std::vector<std::uint8_t>(kTokens);
};

void quantise8(Tensors& t) { quantise_int8(t.kernels, t.rows(t.x), t.rows(t.values), t.scales.data()); }
void quantise4(Tensors& t) { quantise_int4(t.kernels, t.rows(t.x), t.halves(), t.scales4.data()); }
void dequantise8(Tensors& t) {
    const std::vector<std::int8_t>& values = t.values;
    dequantise_int8(t.kernels, t.rows(values), t.scales.data(), t.rows(t.made));
}
void dequantise4(Tensors& t) {
    const Rows<std::uint8_t> halves = t.halves();
    const Rows<const std::uint8_t> packed{halves.data, halves.stride, halves.rows, halves.width};
    dequantise_int4(t.kernels, packed, t.scales4.data(), t.rows(t.made));
}
void changes(Tensors& t) {
    const std::vector<float>& next = t.next;
    row_changes(t.kernels, t.rows(next), t.rows(t.x), t.scales4.data());
}
void delta8(Tensors& t) {
    const std::vector<float>& next = t.next;
    const std::vector<std::int8_t>& values = t.values;
    delta_int8(t.kernels, t.rows(next), t.rows(values), t.scales.data(), t.rows(t.delta), t.peaks.data());
}

template <void (*work)(Tensors&)>
std::function<void()> tensor_case(const KernelTable& kernels) {
    return [tensors = std::make_shared<Tensors>(kernels)] { work(*tensors); };
}

const std::vector<Case>& cases() {
    static const std::vector<Case> all{
        {"grey", "pixel", kPixels, grey_case},
        {"hist_entropy", "pixel", kPixels, histogram_case},
        {"tile32_entropy", "pixel", kPixels, [](const KernelTable& kernels) { return tile_case(kernels, 32); }},
        {"tile16_entropy", "pixel", kPixels, [](const KernelTable& kernels) { return tile_case(kernels, 16); }},
        {"edge_laplacian", "pixel", kPixels, edge_case},
        {"frame_diff", "pixel", kPixels, difference_case},
        {"all_vision", "pixel", kPixels, all_vision_case},
        {"all_audio", "frame", kSamples / kHop,
         [](const KernelTable& kernels) { return sound_case(kernels, kSamples, kSamples); }},
        {"hop", "frame", kHops, [](const KernelTable& kernels) { return sound_case(kernels, kHop, kHops * kHop); }},
        {"quantise_int8", "value", kValues, tensor_case<quantise8>},
        {"quantise_int4", "value", kValues, tensor_case<quantise4>},
        {"dequantise_int8", "value", kValues, tensor_case<dequantise8>},
        {"dequantise_int4", "value", kValues, tensor_case<dequantise4>},
        {"row_changes", "value", kValues, tensor_case<changes>},
        {"delta_int8", "value", kValues, tensor_case<delta8>},
    };
    return all;
}

int run(const char* isa, const char* name, long runs) {
    for (const Case& one : cases()) {
        if (std::strcmp(one.name, name) == 0) {
            const std::function<void()> body = one.prepare(kernels_named(isa));
            for (long i = 0; i <= runs; ++i) {
                body();
            }
            return 0;
        }
    }
    std::fprintf(stderr, "count_kernels: no case is called '%s'\n", name);
    return 2;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc == 1) {
        std::printf("isas");
        for (const KernelTable* kernels : available_kernels()) {
            std::printf(" %s", kernels->name);
        }
        std::printf("\n");
        for (const Case& one : cases()) {
            std::printf("%s %s %.0f\n", one.name, one.unit, one.units);
        }
        return 0;
    }
    if (argc != 4) {
        std::fprintf(stderr, "usage: count_kernels [ISA CASE RUNS]\n");
        return 2;
    }
    try {
        return run(argv[1], argv[2], std::strtol(argv[3], nullptr, 10));
    } catch (const std::exception& error) {
        std::fprintf(stderr, "count_kernels: %s\n", error.what());
        return 2;
    }
}
