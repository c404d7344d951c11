// A stream of sound cut into STFT frames, and the features of each.

#include "sound.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <stdexcept>

namespace edge_agent {
namespace {

constexpr double kPi = 3.14159265358979323846;
constexpr std::size_t kAlignment = 64;

float to_float(float sample) { return sample; }
float to_float(std::int16_t sample) { return static_cast<float>(sample) * (1.0F / 32768.0F); }

float* aligned(float* at) {
    const auto address = reinterpret_cast<std::uintptr_t>(at);
    return at + (kAlignment - address % kAlignment) % kAlignment / sizeof(float);
}

float unit_interval(double x) { return static_cast<float>(std::min(1.0, std::max(0.0, x))); }

std::vector<std::uint32_t> bit_reversed(std::size_t size) {
    std::vector<std::uint32_t> order(size);
    for (std::size_t i = 1; i < size; ++i) {
        order[i] = order[i / 2] / 2 + (i % 2 != 0 ? static_cast<std::uint32_t>(size / 2) : 0U);
    }
    return order;
}

void push_angle(std::vector<float>* table, double angle) {
    table->push_back(static_cast<float>(std::cos(angle)));
    table->push_back(static_cast<float>(std::sin(angle)));
}

}  // namespace

bool samples_are_usable(const float* samples, std::size_t count) {
    std::int32_t limit;
    std::memcpy(&limit, &kMaxSample, sizeof limit);
    std::int32_t too_large = 0;
    for (std::size_t i = 0; i < count; ++i) {  // without its sign, a float has the order of its bits; NaN comes last
        std::int32_t bits;
        std::memcpy(&bits, samples + i, sizeof bits);
        too_large |= (bits & 0x7fffffff) > limit ? 1 : 0;
    }
    return too_large == 0;
}

SoundStream::SoundStream(const KernelTable& kernels, std::size_t window, std::size_t hop)
    : kernels_(kernels), window_(window), hop_(hop), bins_(window / 2 + 1) {
    make_tables();
    work_.resize(kernels.sound.lanes * window + kAlignment / sizeof(float));
    previous_.resize(bins_);
    // Room for a full batch of frames: a hop longer than the window only ever needs the window, since the rest is
    // skipped.
    buffer_.resize(window + (kernels.sound.lanes - 1) * std::min(hop, window));
}

void SoundStream::make_tables() {
    double sum = 0.0;
    for (std::size_t n = 0; n < window_; ++n) {
        sum += 0.5 - 0.5 * std::cos(2.0 * kPi * static_cast<double>(n) / static_cast<double>(window_));
    }
    // 2 / sum makes the peak of a full-scale sine 1; the real FFT wants half of that.
    const double scale = 1.0 / sum;
    for (std::size_t n = 0; n < window_; ++n) {
        const double hann = 0.5 - 0.5 * std::cos(2.0 * kPi * static_cast<double>(n) / static_cast<double>(window_));
        weights_.push_back(static_cast<float>(hann * scale));
    }
    energy_scale_ = 1.0 / (scale * scale * static_cast<double>(window_));
    const std::size_t half = window_ / 2;
    bit_reversal_ = bit_reversed(half);
    std::size_t log2_half = 0;
    while ((std::size_t{1} << log2_half) < half) {
        ++log2_half;
    }
    for (std::size_t size = log2_half % 2 != 0 ? 2 : 1; size < half; size *= 4) {
        for (std::size_t k = 0; k < size; ++k) {
            const double angle = 2.0 * kPi * static_cast<double>(k) / static_cast<double>(4 * size);
            push_angle(&twiddles_, angle);
            push_angle(&twiddles_, 2.0 * angle);
            push_angle(&twiddles_, 3.0 * angle);
        }
    }
    for (std::size_t k = 0; k < half / 2; ++k) {
        push_angle(&split_twiddles_, 2.0 * kPi * static_cast<double>(k) / static_cast<double>(window_));
    }
    plan_ = SoundPlan{window_, weights_.data(), bit_reversal_.data(), twiddles_.data(), split_twiddles_.data()};
}

std::size_t SoundStream::frames_after(std::size_t count) const {
    if (count < skip_) {
        return 0;
    }
    const std::size_t have = filled_ + (count - skip_);
    return have < window_ ? 0 : (have - window_) / hop_ + 1;
}

std::vector<float> SoundStream::feed(const float* samples, std::size_t count) {
    if (!samples_are_usable(samples, count)) {
        throw std::invalid_argument("samples must be finite and within +-1048576; nothing of this chunk was taken in");
    }
    return feed_any(samples, count);
}

std::vector<float> SoundStream::feed(const std::int16_t* samples, std::size_t count) {
    return feed_any(samples, count);
}

template <class Sample>
std::vector<float> SoundStream::feed_any(const Sample* samples, std::size_t count) {
    const std::lock_guard<std::mutex> lock(mutex_);
    const std::size_t frames = frames_after(count);
    std::vector<float> features(kSoundFeatures * frames);
    float* row = features.data();
    take(samples, count, SoundOutput{row, row + frames, row + 2 * frames, row + 3 * frames, row + 4 * frames});
    return features;
}

template <class Sample>
void SoundStream::take(const Sample* samples, std::size_t count, const SoundOutput& out) {
    std::size_t frame = 0;
    while (count > 0) {
        const std::size_t passed = std::min(skip_, count);
        skip_ -= passed;
        samples += passed;
        count -= passed;
        const std::size_t taken = std::min(buffer_.size() - filled_, count);
        for (std::size_t i = 0; i < taken; ++i) {
            buffer_[filled_ + i] = to_float(samples[i]);
        }
        filled_ += taken;
        samples += taken;
        count -= taken;
        if (filled_ == buffer_.size() || count == 0) {
            frame = analyze(out, frame);
        }
    }
}

// Computes every whole frame in the buffer and keeps what the next one needs; returns the index of the next frame.
std::size_t SoundStream::analyze(const SoundOutput& out, std::size_t frame) {
    std::size_t start = 0;
    while (start + window_ <= filled_) {
        const std::size_t whole = (filled_ - start - window_) / hop_ + 1;
        const std::size_t count = std::min(whole, kernels_.sound.lanes);
        SoundSums sums;
        kernels_.sound.frames(plan_, buffer_.data() + start, hop_, count, aligned(work_.data()), previous_.data(),
                              &sums);
        if (!has_previous_) {
            sums.flux[0] = 0.0F;
            has_previous_ = true;
        }
        finish(sums, count, out, frame);
        frame += count;
        start += count * hop_;
        if (start > filled_) {
            skip_ = start - filled_;
            start = filled_;
        }
    }
    std::memmove(buffer_.data(), buffer_.data() + start, (filled_ - start) * sizeof(float));
    filled_ -= start;
    return frame;
}

void SoundStream::finish(const SoundSums& sums, std::size_t count, const SoundOutput& out, std::size_t frame) {
    const double bins = static_cast<double>(bins_);
    for (std::size_t lane = 0; lane < count; ++lane, ++frame) {
        const double power = sums.power[lane];
        const double floored = sums.floored[lane];
        const bool silent = power <= bins * static_cast<double>(kPowerFloor);
        const double entropy = (std::log(floored) - sums.floored_log[lane] / floored) / std::log(bins);
        const double flatness = std::exp(sums.log_floored[lane] / bins) / (floored / bins);
        out.flux[frame] = sums.flux[lane];
        out.spectral_entropy[frame] = silent ? 0.0F : unit_interval(entropy);
        out.flatness[frame] = silent ? 0.0F : unit_interval(flatness);
        out.energy[frame] = static_cast<float>(sums.energy[lane] * energy_scale_);
        out.zero_crossing_rate[frame] = static_cast<float>(sums.crossings[lane] / static_cast<double>(window_ - 1));
    }
}

void SoundStream::reset() {
    const std::lock_guard<std::mutex> lock(mutex_);
    has_previous_ = false;
    filled_ = 0;
    skip_ = 0;
}

}  // namespace edge_agent
