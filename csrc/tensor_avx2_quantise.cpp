// Quantising with AVX2: 64 floats at a time, multiplied by the scale's reciprocal, divided only where that could
// differ.
//
// Compiled with -mavx2; see tensor_avx2.cpp for what that forbids.

#include "tensor_avx2.h"

#if defined(__AVX2__)

namespace edge_agent {
namespace {

// Values between two looks at whether one of them was too near a tie.
constexpr std::size_t kSegment = 1024;

// Below this, 65536 / scale could overflow; such rows are divided.
constexpr float kSmallestScale = 0x1p-100F;

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

}  // namespace

void quantise8_avx2(const float* row, std::size_t width, float scale, std::int8_t* out) {
    quantise<Bytes>(row, width, scale, reinterpret_cast<std::uint8_t*>(out));
}

void quantise4_avx2(const float* row, std::size_t width, float scale, std::uint8_t* out) {
    quantise<Nibbles>(row, width, scale, out);
}

}  // namespace edge_agent

#endif
