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

float* aligned(float* at) {
    const auto address = reinterpret_cast<std::uintptr_t>(at);
    return at + (kAlignment - address % kAlignment) % kAlignment / sizeof(float);
}

float unit_interval(double x) { return static_cast<float>(std::min(1.0, std::max(0.0, x))); }

// 0 .. size - 1, a power of four, with the digits in base four in reversed order.
std::vector<std::uint32_t> digit_reversed(std::size_t size) {
    std::vector<std::uint32_t> order(size);
    for (std::size_t i = 1; i < size; ++i) {
        order[i] = order[i / 4] / 4 + static_cast<std::uint32_t>(i % 4 * (size / 4));
    }
    return order;
}

// `lanes` cosines, then as many sines, of angle, angle + step, ...
void push_angles(std::vector<float>* table, double angle, double step = 0.0, std::size_t lanes = 1) {
    for (std::size_t lane = 0; lane < lanes; ++lane) {
        table->push_back(static_cast<float>(std::cos(angle + step * static_cast<double>(lane))));
    }
    for (std::size_t lane = 0; lane < lanes; ++lane) {
        table->push_back(static_cast<float>(std::sin(angle + step * static_cast<double>(lane))));
    }
}

}  // namespace

SoundStream::SoundStream(const KernelTable& kernels, std::size_t window, std::size_t hop)
    : kernels_(kernels), window_(window), hop_(hop) {
    make_tables();
    inverse_bins_ = 1.0 / static_cast<double>(window / 2 + 1);
    log_bins_ = std::log2(static_cast<double>(window / 2 + 1));
    inverse_log_bins_ = 1.0 / log_bins_;
    work_.resize(plan_.work_floats() + 2 * plan_.spectrum_floats() + kAlignment / sizeof(float));
    previous_.resize(window / 2 + kLanes);
    // Little enough to stay in the cache, enough that moving what is left to the front is rare.
    buffer_.resize(2 * window + 2048);
}

void SoundStream::make_tables() {
    const auto hann = [this](std::size_t n) {
        return 0.5 - 0.5 * std::cos(2.0 * kPi * static_cast<double>(n) / static_cast<double>(window_));
    };
    double sum = 0.0;
    for (std::size_t n = 0; n < window_; ++n) {
        sum += hann(n);
    }
    for (std::size_t n = 0; n < window_;
         ++n) {  // 2 / sum makes the peak of a full-scale sine 1; the real FFT wants half
        weights_.push_back(static_cast<float>(hann(n) / sum));
    }
    // By Parseval's theorem: of the N bins of |FFT|^2 = P / 4, all but the first and the last of ours stand twice.
    energy_scale_ = sum * sum / (4.0 * static_cast<double>(window_) * static_cast<double>(window_));

    const std::size_t rows = window_ / (2 * kLanes);
    std::size_t radix = rows;
    while (radix > 8) {
        radix /= 4;
    }
    row_order_ = digit_reversed(rows / radix);
    for (std::size_t done = radix; done < rows; done *= 4) {
        for (std::size_t k = 0; k < done; ++k) {
            const double angle = 2.0 * kPi * static_cast<double>(k) / static_cast<double>(4 * done);
            push_angles(&row_angles_, angle);
            push_angles(&row_angles_, 2.0 * angle);
            push_angles(&row_angles_, 3.0 * angle);
        }
    }
    const double turn = 2.0 * kPi / static_cast<double>(window_);
    for (std::size_t row = 0; row < rows; row += kLanes) {
        for (std::size_t column = 1; column < kLanes; ++column) {
            const double step = 2.0 * turn * static_cast<double>(column);
            push_angles(&column_angles_, step * static_cast<double>(row), step, kLanes);
        }
    }
    for (std::size_t k = 0; k < window_ / 4; k += kLanes) {
        push_angles(&split_angles_, turn * static_cast<double>(k), turn, kLanes);
    }
    plan_ = SoundPlan{window_,
                      rows,
                      radix,
                      weights_.data(),
                      row_order_.data(),
                      row_angles_.data(),
                      column_angles_.data(),
                      split_angles_.data()};
}

std::size_t SoundStream::frames_after(std::size_t count) const {
    if (count < skip_) {
        return 0;
    }
    const std::size_t have = end_ - start_ + (count - skip_);
    return have < window_ ? 0 : (have - window_) / hop_ + 1;
}

SoundRows SoundStream::feed(const float* samples, std::size_t count) { return feed_any(samples, count); }

SoundRows SoundStream::feed(const std::int16_t* samples, std::size_t count) { return feed_any(samples, count); }

bool SoundStream::feed_now(const float* samples, std::size_t count, SoundRows* rows) {
    return feed_any_now(samples, count, rows);
}

bool SoundStream::feed_now(const std::int16_t* samples, std::size_t count, SoundRows* rows) {
    return feed_any_now(samples, count, rows);
}

void SoundStream::check(const float* samples, std::size_t count) const {
    if (!kernels_.sound.usable(samples, count)) {
        throw std::invalid_argument("samples must be finite and within +-1048576; nothing of this chunk was taken in");
    }
}

template <class Sample>
SoundRows SoundStream::feed_any(const Sample* samples, std::size_t count) {
    check(samples, count);
    SoundRows rows;
    const std::lock_guard<std::mutex> lock(mutex_);
    feed_locked(samples, count, &rows);
    return rows;
}

template <class Sample>
bool SoundStream::feed_any_now(const Sample* samples, std::size_t count, SoundRows* rows) {
    check(samples, count);
    const std::unique_lock<std::mutex> lock(mutex_, std::try_to_lock);
    if (lock) {
        feed_locked(samples, count, rows);
    }
    return lock.owns_lock();
}

template <class Sample>
void SoundStream::feed_locked(const Sample* samples, std::size_t count, SoundRows* rows) {
    rows->resize(frames_after(count));
    std::size_t frame = 0;
    while (count > 0) {
        const std::size_t passed = std::min(skip_, count);
        skip_ -= passed;
        samples += passed;
        count -= passed;
        const std::size_t taken = std::min(make_room(), count);
        if constexpr (sizeof(Sample) == sizeof(float)) {
            kernels_.sound.take_float(samples, taken, buffer_.data() + end_);
        } else {
            kernels_.sound.take_int16(samples, taken, buffer_.data() + end_);
        }
        end_ += taken;
        samples += taken;
        count -= taken;
        frame = analyze(rows, frame);
    }
}

// Moves what the next frame needs to the front where the buffer is full; returns how many samples fit in.
std::size_t SoundStream::make_room() {
    if (end_ == buffer_.size()) {
        end_ -= start_;
        std::memmove(buffer_.data(), buffer_.data() + start_, end_ * sizeof(float));
        start_ = 0;
    }
    return buffer_.size() - end_;
}

// Computes every whole frame in the buffer; returns the index of the next frame.
std::size_t SoundStream::analyze(SoundRows* rows, std::size_t frame) {
    while (start_ + window_ <= end_) {
        const std::size_t count = std::min((end_ - start_ - window_) / hop_ + 1, kFramesAtOnce);
        SoundSums sums[kFramesAtOnce];
        kernels_.sound.frames(plan_, buffer_.data() + start_, hop_, count, aligned(work_.data()), previous_.data(),
                              sums);
        if (!has_previous_) {
            sums[0].flux = 0.0F;
            has_previous_ = true;
        }
        finish(sums, count, rows, frame);
        frame += count;
        start_ += count * hop_;
        if (start_ > end_) {
            skip_ = start_ - end_;
            start_ = end_;
        }
    }
    return frame;
}

void SoundStream::finish(const SoundSums* sums, std::size_t count, SoundRows* rows, std::size_t frame) {
    const double silence = static_cast<double>(window_ / 2 + 1) * static_cast<double>(kPowerFloor);
    for (std::size_t i = 0; i < count; ++i, ++frame) {
        const double power = sums[i].power;
        const double floored = sums[i].floored;
        const bool silent = power <= silence;
        const double log_floored = std::log2(floored);
        const double entropy = (log_floored - sums[i].floored_log / floored) * inverse_log_bins_;
        const double flatness = std::exp2(sums[i].log_floored * inverse_bins_ - log_floored + log_bins_);
        rows->row(0)[frame] = sums[i].flux;
        rows->row(1)[frame] = silent ? 0.0F : unit_interval(entropy);
        rows->row(2)[frame] = silent ? 0.0F : unit_interval(flatness);
        rows->row(3)[frame] = static_cast<float>((2.0 * power - sums[i].edge_power) * energy_scale_);
        rows->row(4)[frame] = static_cast<float>(sums[i].crossings / static_cast<double>(window_ - 1));
    }
}

void SoundStream::reset() {
    const std::lock_guard<std::mutex> lock(mutex_);
    has_previous_ = false;
    start_ = 0;
    end_ = 0;
    skip_ = 0;
}

}  // namespace edge_agent
