// The spectral sums of STFT frames, eight bins a vector, and the intake of samples, for any vector type; see fft.h.
//
// Beyond what fft.h asks, V has: max, sqrt, reversed (lane 7 first), first (the others 0), sum ((0+4)+(2+6)) +
// ((1+5)+(3+7)), log_parts, from_int16 (eight of them, as floats); and Count, eight int32 lanes, with none, crossings
// (adds those between each of eight samples and the one before it), unusable (adds a mark for each sample that is),
// total. All sums run in the same order whatever V is.
#pragma once

#include "fft.h"

namespace edge_agent {

// Base-2 logarithm of a positive normal number: x = m 2^e with m in [2/3, 4/3), t = m - 1, and a polynomial for
// log2(1 + t) / t whose absolute error times t is below 2.1e-6 (minimax, found by reweighted least squares).
template <class V>
inline typename V::Reg log2_lanes(typename V::Reg x) {
    typename V::Reg mantissa;
    typename V::Reg exponent;
    V::log_parts(x, &mantissa, &exponent);
    const auto t = V::sub(mantissa, V::set(1.0F));
    const auto t2 = V::mul(t, t);
    auto odd = V::add(V::mul(t2, V::set(0.332885206F)), V::set(0.478408098F));
    auto even = V::add(V::mul(t2, V::set(-0.291010976F)), V::set(-0.356659591F));
    odd = V::add(V::mul(t2, odd), V::set(1.44272804F));
    even = V::add(V::mul(t2, even), V::set(-0.721440911F));
    return V::add(exponent, V::add(V::mul(t, odd), V::mul(t2, even)));
}

// Sums over the bins of a frame, bin k in lane k mod 8.
template <class V>
struct BinSums {
    using Reg = typename V::Reg;
    Reg power = V::set(0.0F);
    Reg floored = V::set(0.0F);
    Reg log_floored = V::set(0.0F);
    Reg floored_log = V::set(0.0F);
    Reg flux = V::set(0.0F);

    // Sums of some dozens of bins, added up in turn, lose less than one long sum.
    void add(const BinSums& o) {
        power = V::add(power, o.power);
        floored = V::add(floored, o.floored);
        log_floored = V::add(log_floored, o.log_floored);
        floored_log = V::add(floored_log, o.floored_log);
        flux = V::add(flux, o.flux);
    }

    // The sums over eight bins, whose magnitudes in the frame before are at `previous`, which receives these.
    static BinSums of(const Complex<V>& bins, float* previous) {
        BinSums sums;
        sums.power = V::add(V::mul(bins.re, bins.re), V::mul(bins.im, bins.im));
        sums.floored = V::max(sums.power, V::set(kPowerFloor));
        sums.log_floored = log2_lanes<V>(sums.floored);
        sums.floored_log = V::mul(sums.floored, sums.log_floored);
        const Reg magnitude = V::sqrt(sums.power);
        sums.flux = V::max(V::sub(magnitude, V::load(previous)), V::set(0.0F));
        V::store(previous, magnitude);
        return sums;
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

// Splits the half-size complex FFT Z into the bins X of the real one and sums over them. With H = N/2, W = exp(-2 pi i
// / N): X[k] = e + t and X[H-k] = conj(e - t), where 2 e = Z[k] + conj Z[H-k] and 2 t = -i W^k (Z[k] - conj Z[H-k]);
// the missing 1/2 is in the weights. `previous` holds bins 0 to H/2 - 1, then H down to H/2 + 1 in blocks of eight that
// take turns with them, then H/2; which bin is where matters to nobody else.
template <class V>
inline void sum_bins(const SoundPlan& plan, const float* re, const float* im, float* previous, SoundSums* sums) {
    constexpr std::size_t blocks_at_once = 32;
    const std::size_t half = plan.window / 2;
    const float* angles = plan.split_angles;
    BinSums<V> total;
    for (std::size_t k = 0; k < half / 2;) {
        BinSums<V> part;
        const std::size_t end = half / 2 - k < blocks_at_once * kLanes ? half / 2 : k + blocks_at_once * kLanes;
        for (; k < end; k += kLanes, angles += 2 * kLanes, previous += 2 * kLanes) {
            const Complex<V> a{V::load(re + k), V::load(im + k)};
            const Complex<V> b{V::reversed(V::load(re + half - k - 7)), V::reversed(V::load(im + half - k - 7))};
            const Complex<V> e{V::add(a.re, b.re), V::sub(a.im, b.im)};
            const Complex<V> o{V::add(a.im, b.im), V::sub(b.re, a.re)};  // -i (Z[k] - conj Z[H-k])
            const auto t = o.turned(Complex<V>::load(angles));
            part.add(BinSums<V>::of(e + t, previous));
            part.add(BinSums<V>::of(e - t, previous + kLanes));
        }
        total.add(part);
    }
    const auto two = V::set(2.0F);
    const Complex<V> middle{V::mul(two, V::broadcast(re + half / 2)), V::mul(two, V::broadcast(im + half / 2))};
    total.add(BinSums<V>::of(middle, previous).first());
    total.store(sums);
    sums->edge_power = 8.0F * (re[0] * re[0] + im[0] * im[0]);
}

// Neighbours within the frame of which one is below zero and the other is not; reads samples[-1].
template <class V>
inline std::int32_t count_crossings(const float* samples, std::size_t window) {
    auto count = V::none();
    for (std::size_t n = 0; n < window; n += kLanes) {
        count = V::crossings(count, samples + n);
    }
    const bool before_the_frame = (samples[-1] < 0.0F) != (samples[0] < 0.0F);
    return V::total(count) - (before_the_frame ? 1 : 0);
}

// SoundKernels::frames.
template <class V>
inline void sound_frames(const SoundPlan& plan, const float* samples, std::size_t hop, std::size_t count, float* work,
                         float* previous, SoundSums* sums) {
    float* re = work + plan.work_floats();
    float* im = re + plan.spectrum_floats();
    for (std::size_t frame = 0; frame < count; ++frame, samples += hop) {
        fft_frame<V>(plan, samples, work, re, im);
        sum_bins<V>(plan, re, im, previous, sums + frame);
        sums[frame].crossings = count_crossings<V>(samples, plan.window);
    }
}

// SoundKernels::usable.
template <class V>
inline bool samples_usable(const float* samples, std::size_t count) {
    auto marks = V::none();
    std::size_t n = 0;
    for (; n + kLanes <= count; n += kLanes) {
        marks = V::unusable(marks, samples + n);
    }
    bool usable = V::total(marks) == 0;
    for (; n < count; ++n) {
        usable = usable && samples[n] >= -kMaxSample && samples[n] <= kMaxSample;  // false for NaN
    }
    return usable;
}

// SoundKernels::take_float.
template <class V>
inline void take_float(const float* samples, std::size_t count, float* to) {
    std::size_t n = 0;
    for (; n + kLanes <= count; n += kLanes) {
        V::store(to + n, V::add(V::load(samples + n), V::set(0.0F)));
    }
    for (; n < count; ++n) {
        to[n] = samples[n] + 0.0F;
    }
}

// SoundKernels::take_int16.
template <class V>
inline void take_int16(const std::int16_t* samples, std::size_t count, float* to) {
    constexpr float scale = 1.0F / 32768.0F;
    std::size_t n = 0;
    for (; n + kLanes <= count; n += kLanes) {
        V::store(to + n, V::mul(V::from_int16(samples + n), V::set(scale)));
    }
    for (; n < count; ++n) {
        to[n] = static_cast<float>(samples[n]) * scale;
    }
}

template <class V>
inline constexpr SoundKernels sound_kernels{sound_frames<V>, samples_usable<V>, take_float<V>, take_int16<V>};

}  // namespace edge_agent
