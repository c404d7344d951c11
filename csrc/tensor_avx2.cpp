// The tensor kernels for x86-64 with AVX2: 8 floats or 32 bytes at a time.
//
// Compiled with -mavx2. It uses no standard library templates, and everything in it has internal linkage, so
// that no such instruction leaks into code that runs before the CPU was asked.

#include "tensor_kernels.h"
#include "tensor_multiply.h"

#if defined(__AVX2__)

#include <immintrin.h>

namespace edge_agent {
namespace {

// Values between two looks at whether one of them was too near a tie.
constexpr std::size_t kSegment = 1024;

// Below this, 65536 / scale could overflow; such rows are divided.
constexpr float kSmallestScale = 0x1p-100F;

__m256i bytes_at(const void* at) { return _mm256_loadu_si256(static_cast<const __m256i*>(at)); }
void store(void* at, __m256i x) { _mm256_storeu_si256(static_cast<__m256i*>(at), x); }

std::uint32_t largest_lane(__m256i x) {
    __m128i four = _mm_max_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1));
    four = _mm_max_epi32(four, _mm_shuffle_epi32(four, 0x4e));
    four = _mm_max_epi32(four, _mm_shuffle_epi32(four, 0xb1));
    return static_cast<std::uint32_t>(_mm_cvtsi128_si32(four));
}

__m256i magnitudes(const float* at) {
    return _mm256_and_si256(_mm256_castps_si256(_mm256_loadu_ps(at)), _mm256_set1_epi32(0x7fffffff));
}

// Of 64 values, in eight lanes.
__m256i largest_magnitudes(const float* at) {
    const __m256i first = _mm256_max_epi32(magnitudes(at), magnitudes(at + 8));
    const __m256i second = _mm256_max_epi32(magnitudes(at + 16), magnitudes(at + 24));
    const __m256i third = _mm256_max_epi32(magnitudes(at + 32), magnitudes(at + 40));
    const __m256i fourth = _mm256_max_epi32(magnitudes(at + 48), magnitudes(at + 56));
    return _mm256_max_epi32(_mm256_max_epi32(first, second), _mm256_max_epi32(third, fourth));
}

__attribute__((noinline)) std::uint32_t peak_with_rest(std::uint32_t most, const float* row, std::size_t width) {
    const std::uint32_t rest = tensor_scalar()->peak(row, width);
    return rest > most ? rest : most;
}

std::uint32_t peak(const float* row, std::size_t width) {
    __m256i most = _mm256_setzero_si256();
    for (std::size_t pairs = width / 128; pairs != 0; --pairs, row += 128) {
        most = _mm256_max_epi32(most, _mm256_max_epi32(largest_magnitudes(row), largest_magnitudes(row + 64)));
    }
    if (width % 128 >= 64) {
        most = _mm256_max_epi32(most, largest_magnitudes(row));
        row += 64;
    }
    for (std::size_t eights = width % 64 / 8; eights != 0; --eights, row += 8) {
        most = _mm256_max_epi32(most, magnitudes(row));
    }
    return width % 8 == 0 ? largest_lane(most) : peak_with_rest(largest_lane(most), row, width % 8);
}

std::uint32_t distance(const float* a, const float* b, std::size_t width) {
    const __m256i magnitude = _mm256_set1_epi32(0x7fffffff);
    __m256i most[2] = {};
    std::size_t i = 0;
    for (; i + 16 <= width; i += 16) {
        for (std::size_t k = 0; k < 2; ++k) {
            const __m256 apart = _mm256_sub_ps(_mm256_loadu_ps(a + i + 8 * k), _mm256_loadu_ps(b + i + 8 * k));
            most[k] = _mm256_max_epi32(most[k], _mm256_and_si256(magnitude, _mm256_castps_si256(apart)));
        }
    }
    const std::uint32_t vectors = largest_lane(_mm256_max_epi32(most[0], most[1]));
    if (i == width) {
        return vectors;
    }
    const std::uint32_t rest = tensor_scalar()->distance(a + i, b + i, width - i);
    return rest > vectors ? rest : vectors;
}

// Bytes of four vectors of 8, packed lane by lane, in the order of the values.
__m256i in_order(__m256i bytes) {
    return _mm256_permutevar8x32_epi32(bytes, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
}

// The compiler would rather call what is used often than keep it in registers.
#define EDGE_AGENT_INLINE inline __attribute__((always_inline))

// 32 quotients by division, as the specification has it.
struct Exact {
    explicit Exact(float scale, float limit)
        : divisor(_mm256_set1_ps(scale)), most(_mm256_set1_ps(limit)), least(_mm256_set1_ps(-limit)) {}

    __m256i eight(const float* at) const {
        const __m256 quotient = _mm256_div_ps(_mm256_loadu_ps(at), divisor);
        return _mm256_cvtps_epi32(_mm256_min_ps(_mm256_max_ps(quotient, least), most));
    }
    __m256i operator()(const float* at) const {
        const __m256i low = _mm256_packs_epi32(eight(at), eight(at + 8));
        const __m256i high = _mm256_packs_epi32(eight(at + 16), eight(at + 24));
        return in_order(_mm256_packs_epi16(low, high));
    }
    bool certain() const { return true; }

    __m256 divisor, most, least;
};

// 32 quotients by multiplication, which is faster than division, in units of 1/65536. Below 127.5, the
// reciprocal errs by less than 0.5 units, the product by 0.25 and the integer by 0.5; the specification's quotient is
// itself off by at most 0.25. So only a value within 1 unit of a tie may be rounded otherwise than by division:
// certain() tells of those, and their segment is divided.
struct Fast {
    explicit Fast(float scale) : factor(_mm256_set1_ps(65536.0F / scale)) {}

    // Words: the rounded value in the odd ones; in the even ones, 0 to 2 where it is near a tie.
    __m256i eight(const float* at) const {
        const __m256i units = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(at), factor));
        return _mm256_add_epi32(units, _mm256_set1_epi32(0x8001));
    }
    // The values as words. Saturation leaves 0 to 2 as they are, so that the bytes between tell of ties as well.
    __m256i sixteen(const float* at) {
        const __m256i bytes = _mm256_packs_epi16(eight(at), eight(at + 8));
        nearest = _mm256_min_epu8(nearest, bytes);
        return _mm256_srli_epi16(bytes, 8);
    }
    EDGE_AGENT_INLINE __m256i operator()(const float* at) {
        const __m256i low = sixteen(at);
        return in_order(_mm256_packus_epi16(low, sixteen(at + 16)));
    }
    bool certain() const {
        const __m256i near = _mm256_cmpeq_epi8(_mm256_min_epu8(nearest, _mm256_set1_epi8(2)), nearest);
        return _mm256_testz_si256(near, _mm256_set1_epi16(255)) != 0;
    }

    __m256 factor;
    __m256i nearest = _mm256_set1_epi32(-1);
};

// How 64 quotients are written: one a byte, or two.
struct Bytes {
    static constexpr std::size_t size = 64;
    static constexpr float most = 127.0F;
    template <class Divide>
    EDGE_AGENT_INLINE static void write(Divide* divide, const float* at, std::uint8_t* out) {
        store(out, (*divide)(at));
        store(out + 32, (*divide)(at + 32));
    }
};

struct Nibbles {
    static constexpr std::size_t size = 32;
    static constexpr float most = 7.0F;
    template <class Divide>
    static __m256i pairs(Divide* divide, const float* at) {
        const __m256i halves = _mm256_and_si256((*divide)(at), _mm256_set1_epi8(15));
        return _mm256_maddubs_epi16(halves, _mm256_set1_epi16(0x1001));  // first + 16 second: 8 bits a word
    }
    template <class Divide>
    EDGE_AGENT_INLINE static void write(Divide* divide, const float* at, std::uint8_t* out) {
        const __m256i first = pairs(divide, at);
        store(out, _mm256_permute4x64_epi64(_mm256_packus_epi16(first, pairs(divide, at + 32)), 0xd8));
    }
};

// Returns whether all are certain; `width` a multiple of 64.
template <class Format, class Divide>
EDGE_AGENT_INLINE bool quantise_whole(Divide divide, const float* row, std::size_t width, std::uint8_t* out) {
    for (std::size_t pairs = width / 128; pairs != 0; --pairs, row += 128, out += 2 * Format::size) {
        Format::write(&divide, row, out);
        Format::write(&divide, row + 64, out + Format::size);
    }
    if (width % 128 != 0) {
        Format::write(&divide, row, out);
    }
    return divide.certain();
}

template <class Format>
__attribute__((noinline)) void divide_some(const float* row, std::size_t width, float scale, std::uint8_t* out) {
    const std::size_t whole = width / 64 * 64;
    quantise_whole<Format>(Exact(scale, Format::most), row, whole, out);
    if (whole < width) {
        float padded[64] = {};
        std::uint8_t made[Format::size];
        __builtin_memcpy(padded, row + whole, (width - whole) * sizeof(float));
        quantise_whole<Format>(Exact(scale, Format::most), padded, 64, made);
        __builtin_memcpy(out + whole * Format::size / 64, made, ((width - whole) * Format::size + 63) / 64);
    }
}

// Any row, in segments.
template <class Format>
__attribute__((noinline)) void quantise_any(const float* row, std::size_t width, float scale, std::uint8_t* out) {
    if (scale == 0.0F) {
        __builtin_memset(out, 0, (width * Format::size + 63) / 64);
        return;
    }
    for (std::size_t i = 0; i < width; i += kSegment) {
        const std::size_t count = width - i < kSegment ? width - i : kSegment;
        const std::size_t whole = scale >= kSmallestScale ? count / 64 * 64 : 0;
        std::uint8_t* const to = out + i * Format::size / 64;
        const bool certain = quantise_whole<Format>(Fast(scale), row + i, whole, to);
        const std::size_t done = certain ? whole : 0;
        divide_some<Format>(row + i + done, count - done, scale, to + done * Format::size / 64);
    }
}

// A usual row is one segment of whole vectors, and seldom needs division.
template <class Format>
void quantise(const float* row, std::size_t width, float scale, std::uint8_t* out) {
    if (width % 64 != 0 || width > kSegment || !(scale >= kSmallestScale)) {
        quantise_any<Format>(row, width, scale, out);
    } else if (!quantise_whole<Format>(Fast(scale), row, width, out)) {
        divide_some<Format>(row, width, scale, out);
    }
}

void quantise8(const float* row, std::size_t width, float scale, std::int8_t* out) {
    quantise<Bytes>(row, width, scale, reinterpret_cast<std::uint8_t*>(out));
}

void quantise4(const float* row, std::size_t width, float scale, std::uint8_t* out) {
    quantise<Nibbles>(row, width, scale, out);
}

// Eight bytes at `at` as floats times the scale.
void widen(__m128i bytes, __m256 scale, float* out) {
    _mm256_storeu_ps(out, _mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes)), scale));
}

void dequantise8(const std::int8_t* values, std::size_t width, float scale, float* out) {
    const __m256 factor = _mm256_set1_ps(scale);
    std::size_t i = 0;
    for (; i + 32 <= width; i += 32) {
        for (std::size_t k = 0; k < 32; k += 8) {
            widen(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(values + i + k)), factor, out + i + k);
        }
    }
    if (i < width) {
        tensor_scalar()->dequantise8(values + i, width - i, scale, out + i);
    }
}

void dequantise4(const std::uint8_t* values, std::size_t width, float scale, float* out) {
    const __m256 factor = _mm256_set1_ps(scale);
    const __m128i low = _mm_set1_epi8(15), sign = _mm_set1_epi8(8);
    std::size_t i = 0;
    for (; i + 32 <= width; i += 32) {
        const __m128i pairs = _mm_loadu_si128(reinterpret_cast<const __m128i*>(values + i / 2));
        const __m128i even = _mm_and_si128(pairs, low);
        const __m128i odd = _mm_and_si128(_mm_srli_epi16(pairs, 4), low);
        for (std::size_t k = 0; k < 2; ++k) {
            const __m128i halves = k == 0 ? _mm_unpacklo_epi8(even, odd) : _mm_unpackhi_epi8(even, odd);
            const __m128i bytes = _mm_sub_epi8(_mm_xor_si128(halves, sign), sign);  // the sign of four bits
            widen(bytes, factor, out + i + 16 * k);
            widen(_mm_srli_si128(bytes, 8), factor, out + i + 16 * k + 8);
        }
    }
    if (i < width) {
        tensor_scalar()->dequantise4(values + i / 2, width - i, scale, out + i);
    }
}

std::uint8_t subtract8(const std::int8_t* values, const std::int8_t* previous, std::size_t width, std::int8_t* out) {
    __m256i largest = _mm256_setzero_si256();
    __m256i wrapped = _mm256_setzero_si256();
    std::size_t i = 0;
    for (; i + 32 <= width; i += 32) {
        const __m256i a = bytes_at(values + i), b = bytes_at(previous + i);
        const __m256i difference = _mm256_sub_epi8(a, b);
        wrapped = _mm256_or_si256(wrapped, _mm256_xor_si256(difference, _mm256_subs_epi8(a, b)));
        largest = _mm256_max_epu8(largest, _mm256_abs_epi8(difference));
        store(out + i, difference);
    }
    const std::uint8_t rest = tensor_scalar()->subtract8(values + i, previous + i, width - i, out + i);
    alignas(32) std::uint8_t lanes[32];
    store(lanes, largest);
    std::uint8_t most = rest;
    for (const std::uint8_t lane : lanes) {
        most = lane > most ? lane : most;
    }
    return most > 127 || _mm256_testz_si256(wrapped, wrapped) == 0 ? kNoDelta : most;
}

bool sums_fit(const std::int8_t* values, const std::int8_t* delta, std::size_t width) {
    const __m256i lowest = _mm256_set1_epi8(-128);
    __m256i outside = _mm256_setzero_si256();
    std::size_t i = 0;
    for (; i + 32 <= width; i += 32) {
        const __m256i a = bytes_at(values + i), b = bytes_at(delta + i);
        const __m256i sum = _mm256_adds_epi8(a, b);
        const __m256i wrong = _mm256_xor_si256(sum, _mm256_add_epi8(a, b));
        outside = _mm256_or_si256(outside, _mm256_or_si256(wrong, _mm256_cmpeq_epi8(sum, lowest)));
    }
    return _mm256_testz_si256(outside, outside) != 0 && tensor_scalar()->sums_fit(values + i, delta + i, width - i);
}

void add8(const std::int8_t* values, const std::int8_t* delta, std::size_t width, std::int8_t* out) {
    std::size_t i = 0;
    for (; i + 32 <= width; i += 32) {
        store(out + i, _mm256_add_epi8(bytes_at(values + i), bytes_at(delta + i)));
    }
    tensor_scalar()->add8(values + i, delta + i, width - i, out + i);
}

constexpr TensorKernels kKernels{peak,      distance, quantise8, quantise4,          dequantise8,      dequantise4,
                                 subtract8, sums_fit, add8,      multiply_lanes<32>, combine_lanes<32>};

}  // namespace

const TensorKernels* tensor_avx2() { return &kKernels; }

}  // namespace edge_agent

#else

namespace edge_agent {
const TensorKernels* tensor_avx2() { return nullptr; }
}  // namespace edge_agent

#endif
