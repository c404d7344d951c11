// Random sound in random chunks: SoundStream against the scalar kernels, and against itself fed in one piece.

#include <algorithm>
#include <cmath>
#include <limits>

#include "fuzz.h"
#include "sound.h"

namespace edge_agent {
namespace {

constexpr const char* kKinds[] = {"silence", "noise", "tone", "full scale", "denormal", "impulse", "quiet", "huge"};
constexpr std::size_t kKindCount = sizeof kKinds / sizeof kKinds[0];

float sample_of(std::size_t kind, std::size_t n, double radians, Random& random) {
    const double noise = 2.0 * random.unit() - 1.0;
    switch (kind) {
        case 1:
            return static_cast<float>(noise);
        case 2:
            return static_cast<float>(0.7 * std::sin(radians * static_cast<double>(n)) + 0.01 * noise);
        case 3:
            return noise < 0.0 ? -1.0F : 1.0F;
        case 4:
            return static_cast<float>(noise * 1e-40);
        case 5:
            return random.one_in(97) ? 1.0F : 0.0F;
        case 6:
            return static_cast<float>(noise * 1e-4);
        case 7:
            return static_cast<float>(noise) * kMaxSample;
        default:
            return random.one_in(2) ? 0.0F : -0.0F;
    }
}

// Random sound of one kind, or one kind after another.
template <class Sample>
std::vector<Sample> random_sound(std::size_t count, std::string* name, Random& random) {
    const std::size_t first = random.next() % kKindCount;
    const std::size_t second = random.one_in(2) ? first : random.next() % kKindCount;
    const std::size_t change = random.between(0, count);
    const double radians = random.unit() * 3.1;
    std::vector<Sample> samples(count);
    for (std::size_t n = 0; n < count; ++n) {
        const float value = sample_of(n < change ? first : second, n, radians, random);
        if (sizeof(Sample) == sizeof(float)) {
            samples[n] = static_cast<Sample>(value);
        } else {  // -32768 to 32767, both reached
            const float scaled = std::min(32767.0F, std::max(-32768.0F, value * 32768.0F));
            samples[n] = static_cast<Sample>(scaled);
        }
    }
    *name += std::string(" ") + kKinds[first] + ", " + kKinds[second];
    return samples;
}

std::vector<float> joined(const std::vector<std::vector<float>>& parts) {
    std::vector<float> all;
    for (std::size_t row = 0; row < kSoundFeatures; ++row) {
        for (const std::vector<float>& part : parts) {
            const auto frames = static_cast<std::ptrdiff_t>(part.size() / kSoundFeatures);
            const auto begin = part.begin() + static_cast<std::ptrdiff_t>(row) * frames;
            all.insert(all.end(), begin, begin + frames);
        }
    }
    return all;
}

// A chunk with one sample that cannot be used must be refused and change nothing.
void feed_unusable(SoundStream* stream, const std::string& name, Random& random) {
    const float bad[] = {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
                         -std::numeric_limits<float>::infinity(), kMaxSample * 1.0001F};
    const std::size_t count = random.size(900);
    const Exact<float> chunk(count, 4 * random.between(0, 3));
    std::fill_n(chunk.data(), count, 0.25F);
    chunk.data()[random.between(0, count - 1)] = random.pick(bad);
    try {
        stream->feed(chunk.data(), count);
    } catch (const std::invalid_argument&) {
        return;
    }
    throw Mismatch(name + ": a sample that is not finite was taken in");
}

template <class Sample>
std::vector<float> fed_in_chunks(SoundStream* stream, const std::vector<Sample>& samples, const std::string& name,
                                 Random& random) {
    const std::size_t usual[] = {1, 160, 512, 5000};
    const std::size_t most = random.one_in(2) ? random.pick(usual) : random.size(3000);
    std::vector<std::vector<float>> parts;
    for (std::size_t at = 0; at < samples.size();) {
        const std::size_t count = std::min(samples.size() - at, random.one_in(2) ? most : random.between(1, most));
        const Exact<Sample> chunk(count, sizeof(Sample) * random.between(0, 15));
        std::memcpy(chunk.data(), samples.data() + at, count * sizeof(Sample));
        parts.push_back(stream->feed(chunk.data(), count).to_vector());
        at += count;
        if (random.one_in(100)) {
            feed_unusable(stream, name, random);
        }
    }
    return joined(parts);
}

// docs/features.md, "How closely": for samples within +-1; louder sound errs in proportion.
void expect_close(const std::vector<float>& wanted, const std::vector<float>& got, float peak,
                  const std::string& name) {
    constexpr const char* kRows[] = {"flux", "spectral entropy", "flatness", "energy", "zero crossings"};
    expect(wanted.size() == got.size(), name + ": number of frames");
    const std::size_t frames = wanted.size() / kSoundFeatures;
    for (std::size_t i = 0; i < wanted.size(); ++i) {
        const std::size_t row = i / frames;
        const float loud = std::max(1.0F, peak);
        const float absolute = row == 0 ? 1e-4F * loud : row < 3 ? 1e-4F : row == 3 ? 1e-12F * loud * loud : 0.0F;
        const float relative = row == 0 ? 1e-4F : row == 3 ? 1e-5F : 0.0F;
        expect(std::fabs(wanted[i] - got[i]) <= absolute + relative * std::fabs(wanted[i]),
               name + ": " + kRows[row] + " of frame " + std::to_string(i % frames) + ": " + std::to_string(got[i]) +
                   " instead of " + std::to_string(wanted[i]));
    }
}

template <class Sample>
void fuzz_samples(const KernelTable& kernels, std::size_t window, std::size_t hop, std::size_t count, std::string name,
                  Random& random) {
    const std::vector<Sample> samples = random_sound<Sample>(count, &name, random);
    SoundStream scalar(scalar_kernels(), window, hop);
    SoundStream whole(kernels, window, hop);
    SoundStream chunked(kernels, window, hop);
    const std::vector<float> wanted = scalar.feed(samples.data(), count).to_vector();
    const std::vector<float> got = whole.feed(samples.data(), count).to_vector();
    float peak = 0.0F;
    for (const Sample sample : samples) {
        peak =
            std::max(peak, std::fabs(static_cast<float>(sample)) / (sizeof(Sample) == sizeof(float) ? 1.0F : 32768.0F));
    }
    expect_close(wanted, got, peak, name);
    const std::vector<float> parts = fed_in_chunks(&chunked, samples, name, random);
    expect(parts.size() == got.size() && (got.empty() || std::memcmp(parts.data(), got.data(), got.size() * 4) == 0),
           name + ": depends on how it was cut");
}

}  // namespace

void fuzz_sound(const KernelTable& kernels, Random& random) {
    const std::size_t window = kMinWindow << (random.one_in(60) ? random.between(6, 8) : random.between(0, 5));
    const std::size_t usual[] = {1, 160, 256, window};
    const std::size_t hop = random.one_in(2) ? random.pick(usual) : random.size(2 * window + 5);
    const std::size_t count = random.one_in(10) ? random.size(window) : window + random.between(0, 18 * hop);
    const bool integers = random.one_in(3);
    const std::string name = "sound window " + std::to_string(window) + " hop " + std::to_string(hop) + " samples " +
                             std::to_string(count) + (integers ? " int16" : " float32");
    if (integers) {
        fuzz_samples<std::int16_t>(kernels, window, hop, count, name, random);
    } else {
        fuzz_samples<float>(kernels, window, hop, count, name, random);
    }
}

}  // namespace edge_agent
