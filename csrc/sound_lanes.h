// The spectral sums of STFT frames, eight bins a vector, and the intake of samples, for any vector type; see fft.h.
//
// Beyond what fft.h asks, V has: max, sqrt, reversed (lane 7 first), first (the others 0), sum ((0+4)+(2+6)) +
// ((1+5)+(3+7)), log_parts, from_int16 (eight of them, as floats); crossings (of a frame); and Largest, eight
// int32 lanes, with nothing, larger (of what there is and the bits of eight samples without their sign), above. All
// sums run in the same order whatever V is.
#pragma once

#include "fft.h"

namespace edge_agent {

// Base-2 logarithm of a positive normal number: x = m 2^e with m in [2/3, 4/3), t = m - 1, and a polynomial for
// log2(1 + t) / t whose error times t is below 1.6e-5 (minimax, found by reweighted least squares); in a shape that has
// few operations waiting for each other.
template <class V>
inline typename V::Reg log2_lanes(typename V::Reg x) {
    typename V::Reg mantissa;
    typename V::Reg exponent;
    V::log_parts(x, &mantissa, &exponent);
    const auto t = V::sub(mantissa, V::set(1.0F));
    const auto t2 = V::mul(t, t);
    const auto low = V::add(V::mul(t, V::set(-0.71988672F)), V::set(1.44274461F));
    auto high = V::add(V::mul(t, V::set(-0.401746929F)), V::set(0.477656275F));
    high = V::add(V::mul(t2, V::set(0.338782579F)), high);
    return V::add(V::mul(t, V::add(V::mul(t2, high), low)), exponent);
}

// Sums over the bins of a frame, each in eight partial sums.
template <class V>
struct BinSums {
    using Reg = typename V::Reg;
    Reg power = V::set(0.0F);
    Reg floored = V::set(0.0F);
    Reg log_floored = V::set(0.0F);
    Reg floored_log = V::set(0.0F);
    Reg flux = V::set(0.0F);

    // Takes in eight bins, whose magnitudes in the frame before are at `previous`, which receives these.
    void add_powers(const float* powers, float* previous) {
        const Reg p = V::load(powers);
        const Reg q = V::max(p, V::set(kPowerFloor));
        const Reg log_q = log2_lanes<V>(q);
        const Reg magnitude = V::sqrt(p);
        power = V::add(power, p);
        floored = V::add(floored, q);
        log_floored = V::add(log_floored, log_q);
        floored_log = V::add(floored_log, V::mul(q, log_q));
        flux = V::add(flux, V::max(V::sub(magnitude, V::load(previous)), V::set(0.0F)));
        V::store(previous, magnitude);
    }

    void add(const BinSums& o) {
        power = V::add(power, o.power);
        floored = V::add(floored, o.floored);
        log_floored = V::add(log_floored, o.log_floored);
        floored_log = V::add(floored_log, o.floored_log);
        flux = V::add(flux, o.flux);
    }

    BinSums first() const {
        return {V::first(power), V::first(floored), V::first(log_floored), V::first(floored_log), V::first(flux)};
    }

    void store(SoundSums* sums) const {
        sums->power = V::sum(power);
        sums->floored = V::sum(floored);
        sums->log_floored = V::sum(log_floored);
        sums->floored_log = V::sum(floored_log);
        sums->flux = V::sum(flux);
    }
};

// Splits the half-size complex FFT Z into the powers of the bins X of the real one. With H = N/2, W = exp(-2 pi i / N):
// X[k] = e + t and X[H-k] = conj(e - t), where 2 e = Z[k] + conj Z[H-k] and 2 t = -i W^k (Z[k] - conj Z[H-k]); the
// missing 1/2 is in the weights. `powers` [H + 8] receives bins 0 to H/2 - 1 in blocks of eight, each followed by the
// block of its mirror images H to H/2 + 1, then bin H/2 eight times.
template <class V>
inline void split_powers(const SoundPlan& plan, const float* re, const float* im, float* powers) {
    const std::size_t half = plan.window / 2;
    const float* angles = plan.split_angles;
    const auto store_power = [](float* at, const Complex<V>& x) {
        V::store(at, V::add(V::mul(x.re, x.re), V::mul(x.im, x.im)));
    };
    for (std::size_t k = 0; k < half / 2; k += kLanes, angles += 2 * kLanes) {
        const Complex<V> a{V::load(re + k), V::load(im + k)};
        const Complex<V> b{V::reversed(V::load(re + half - k - 7)), V::reversed(V::load(im + half - k - 7))};
        const Complex<V> e{V::add(a.re, b.re), V::sub(a.im, b.im)};
        const Complex<V> o{V::add(a.im, b.im), V::sub(b.re, a.re)};  // -i (Z[k] - conj Z[H-k])
        const auto t = o.turned(Complex<V>::load(angles));
        store_power(powers + 2 * k, e + t);
        store_power(powers + 2 * k + kLanes, e - t);
    }
    const auto two = V::set(2.0F);
    store_power(powers + half, {V::mul(two, V::broadcast(re + half / 2)), V::mul(two, V::broadcast(im + half / 2))});
}

// Sums over the bins of a frame, whose powers split_powers has stored.
template <class V>
inline void sum_bins(const SoundPlan& plan, const float* powers, float* previous, SoundSums* sums) {
    constexpr std::size_t kAtOnce = 64 * kLanes;  // sums of so many bins, added up in turn, lose less than one long sum
    const std::size_t half = plan.window / 2;
    BinSums<V> total;
    for (std::size_t start = 0; start < half; start += kAtOnce) {
        BinSums<V> part;
        const std::size_t end = half - start < kAtOnce ? half : start + kAtOnce;
        for (std::size_t bin = start; bin < end; bin += kLanes) {
            part.add_powers(powers + bin, previous + bin);
        }
        total.add(part);
    }
    BinSums<V> middle;
    middle.add_powers(powers + half, previous + half);
    total.add(middle.first());
    total.store(sums);
    sums->edge_power = powers[0] + powers[kLanes];
}

// SoundKernels::frames.
template <class V>
inline void sound_frames(const SoundPlan& plan, const float* samples, std::size_t hop, std::size_t count, float* work,
                         float* previous, SoundSums* sums) {
    float* re = work + plan.work_floats();
    float* im = re + plan.spectrum_floats();
    for (std::size_t frame = 0; frame < count; ++frame, samples += hop) {
        fft_frame<V>(plan, samples, work, re, im);
        split_powers<V>(plan, re, im, work);
        sum_bins<V>(plan, work, previous, sums + frame);
        sums[frame].crossings = V::crossings(samples, plan.window);
    }
}

// Calls `each_vector(at)` for every eight of `count` samples, four times a turn, and `each_sample(at)` for the rest.
template <class Vector, class Single>
inline void for_samples(std::size_t count, Vector each_vector, Single each_sample) {
    std::size_t at = 0;
    for (; at + 4 * kLanes <= count; at += 4 * kLanes) {
        for (std::size_t i = 0; i < 4; ++i) {
            each_vector(at + i * kLanes);
        }
    }
    for (; at + kLanes <= count; at += kLanes) {
        each_vector(at);
    }
    for (; at < count; ++at) {
        each_sample(at);
    }
}

// SoundKernels::usable.
template <class V>
inline bool samples_usable(const float* samples, std::size_t count) {
    auto largest = V::nothing();
    bool usable = true;
    for_samples(
        count, [&](std::size_t at) { largest = V::larger(largest, samples + at); },
        [&](std::size_t at) {  // no comparison holds for NaN
            usable = usable && samples[at] >= -kMaxSample && samples[at] <= kMaxSample;
        });
    return usable && !V::above(largest, kMaxSample);
}

// SoundKernels::take_float.
template <class V>
inline void take_float(const float* samples, std::size_t count, float* to) {
    for_samples(
        count, [=](std::size_t at) { V::store(to + at, V::add(V::load(samples + at), V::set(0.0F))); },
        [=](std::size_t at) { to[at] = samples[at] + 0.0F; });
}

// SoundKernels::take_int16.
template <class V>
inline void take_int16(const std::int16_t* samples, std::size_t count, float* to) {
    constexpr float scale = 1.0F / 32768.0F;
    for_samples(
        count, [=](std::size_t at) { V::store(to + at, V::mul(V::from_int16(samples + at), V::set(scale))); },
        [=](std::size_t at) { to[at] = static_cast<float>(samples[at]) * scale; });
}

template <class V>
inline constexpr SoundKernels sound_kernels{sound_frames<V>, samples_usable<V>, take_float<V>, take_int16<V>};

}  // namespace edge_agent
