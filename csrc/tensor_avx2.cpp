// The tensor kernels for x86-64 with AVX2: 8 floats or 32 bytes at a time; tensor_avx2_quantise.cpp has quantising.
//
// Compiled with -mavx2. The AVX2 files use no standard library templates, and what they share with nobody has internal
// linkage, so that no such instruction leaks into code that runs before the CPU was asked.

#include "tensor_avx2.h"

#if defined(__AVX2__)

#include "tensor_multiply.h"

namespace edge_agent {
namespace {

__m256i bytes_at(const void* at) { return _mm256_loadu_si256(static_cast<const __m256i*>(at)); }

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

constexpr TensorKernels kKernels{peak,      distance, quantise8_avx2, quantise4_avx2,     dequantise8,      dequantise4,
                                 subtract8, sums_fit, add8,           multiply_lanes<32>, combine_lanes<32>};

}  // namespace

const TensorKernels* tensor_avx2() { return &kKernels; }

}  // namespace edge_agent

#else

namespace edge_agent {
const TensorKernels* tensor_avx2() { return nullptr; }
}  // namespace edge_agent

#endif
