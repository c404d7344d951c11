// Sound kernels and streams against the scalar ones, and those against the definition.

#include <algorithm>
#include <cmath>
#include <complex>
#include <cstring>
#include <limits>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "checks.h"
#include "kernels.h"
#include "sound.h"

using namespace edge_agent;  // NOLINT

namespace {

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

template <class Sample>
std::vector<float> fed(SoundStream& stream, const Sample* samples, std::size_t count) {
    return stream.feed(samples, count).to_vector();
}

void test_sound_against_scalar(const KernelTable& kernels) {
    for (std::size_t window = kMinWindow; window <= kMaxWindow; window *= 2) {
        for (std::size_t hop : {std::size_t{1}, std::size_t{7}, std::size_t{160}, window, 2 * window + 3}) {
            const std::size_t count = window + (window > 512 ? 3 : 21) * hop + 1;
            const std::string name =
                std::string(kernels.name) + " sound window " + std::to_string(window) + " hop " + std::to_string(hop);
            for (const auto& samples : {noise(count, 1.0F), noise(count, 1e-3F), sine(count, 0.3),
                                        std::vector<float>(count, 0.0F), std::vector<float>(count, 1.0F)}) {
                SoundStream wanted(scalar_kernels(), window, hop);
                SoundStream got(kernels, window, hop);
                check(same_bits(fed(got, samples.data(), count), fed(wanted, samples.data(), count)), name);
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
        const std::vector<float> wanted = fed(whole, samples.data(), samples.size());
        check(wanted.size() == kSoundFeatures * ((samples.size() - 64) / hop + 1), "number of frames");
        for (std::size_t largest : {std::size_t{1}, std::size_t{90}, std::size_t{2000}}) {
            SoundStream stream(kernels, 64, hop);
            std::vector<std::vector<float>> parts;
            for (std::size_t at = 0; at < samples.size();) {
                const std::size_t count = std::min<std::size_t>(samples.size() - at, 1 + generator()() % largest);
                const std::unique_ptr<float[]> chunk(new float[count]);
                std::memcpy(chunk.get(), samples.data() + at, count * sizeof(float));
                parts.push_back(fed(stream, chunk.get(), count));
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

void test_int16_is_float_over_32768(const KernelTable& kernels) {
    std::vector<std::int16_t> integers(2000);
    std::vector<float> floats(2000);
    for (std::size_t i = 0; i < integers.size(); ++i) {
        integers[i] = static_cast<std::int16_t>(i < 2 ? -32768 + 65535 * static_cast<int>(i) : generator()());
        floats[i] = static_cast<float>(integers[i]) / 32768.0F;
    }
    SoundStream a(kernels, 128, 50);
    SoundStream b(kernels, 128, 50);
    check(same_bits(fed(a, integers.data(), 2000), fed(b, floats.data(), 2000)), "int16 and float32");
}

void test_negative_zero_is_not_below_zero(const KernelTable& kernels) {
    std::vector<float> samples(64);
    for (std::size_t i = 0; i < samples.size(); ++i) {
        samples[i] = i % 2 != 0 ? -0.0F : 0.0F;
    }
    samples[20] = -0.5F;  // two crossings
    SoundStream stream(kernels, 64, 64);
    check(fed(stream, samples.data(), samples.size())[4] == 2.0F / 63.0F, "zero crossings around -0.0");
}

void test_unusable_samples_change_nothing(const KernelTable& kernels) {
    const std::vector<float> good = noise(700, 1.0F);
    for (float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(), -1.1e6F}) {
        SoundStream stream(kernels, 128, 50);
        SoundStream untouched(kernels, 128, 50);
        fed(stream, good.data(), 100);
        fed(untouched, good.data(), 100);
        std::vector<float> chunk = good;
        chunk[699] = bad;
        bool refused = false;
        try {
            fed(stream, chunk.data(), chunk.size());
        } catch (const std::invalid_argument&) {
            refused = true;
        }
        check(refused, "an unusable sample is refused");
        check(same_bits(fed(stream, good.data(), 700), fed(untouched, good.data(), 700)), "and changes nothing");
    }
}

void test_extreme_samples_stay_finite(const KernelTable& kernels) {
    for (float value : {kMaxSample, -kMaxSample, 1e-30F, std::numeric_limits<float>::denorm_min()}) {
        std::vector<float> samples(4096);
        for (std::size_t i = 0; i < samples.size(); ++i) {
            samples[i] = i % 3 == 0 ? value : -value;
        }
        SoundStream stream(kernels, 512, 160);
        for (float feature : fed(stream, samples.data(), samples.size())) {
            check(std::isfinite(feature) && feature >= 0.0F, "extreme samples give finite features");
        }
    }
}

}  // namespace

void test_sound(const KernelTable& kernels) {
    test_sound_against_scalar(kernels);
    test_chunks_do_not_matter(kernels);
    test_int16_is_float_over_32768(kernels);
    test_negative_zero_is_not_below_zero(kernels);
    test_unusable_samples_change_nothing(kernels);
    test_extreme_samples_stay_finite(kernels);
}

void test_sound_is_its_definition() {
    for (std::size_t window : {std::size_t{32}, std::size_t{64}, std::size_t{512}, std::size_t{1024}}) {
        const std::vector<float> samples = noise(2 * window, 0.5F);
        SoundStream stream(scalar_kernels(), window, window);
        const std::vector<float> got = fed(stream, samples.data(), samples.size());  // two frames
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
