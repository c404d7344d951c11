// Kernels with one deliberate fault each: what the fuzzer must find, or it looks at nothing.

#include <cmath>

#include "fuzz.h"

namespace edge_agent {
namespace {

// Rounds to nearest as the others do, but one level lower where blue is 255 and red 0.
void grey_row(const std::uint8_t* bgr, std::uint8_t* grey, std::size_t pixels) {
    vision_scalar()->grey_row(bgr, grey, pixels);
    for (std::size_t i = 0; i < pixels; ++i) {
        grey[i] = static_cast<std::uint8_t>(grey[i] - (bgr[3 * i] == 255 && bgr[3 * i + 2] == 0 ? 1 : 0));
    }
}

// Writes one pixel more than there is.
void overwriting_grey_row(const std::uint8_t* bgr, std::uint8_t* grey, std::size_t pixels) {
    vision_scalar()->grey_row(bgr, grey, pixels);
    grey[pixels] = 0;
}

// Reads one pixel more than there is: only AddressSanitizer can see it.
void overreading_grey_row(const std::uint8_t* bgr, std::uint8_t* grey, std::size_t pixels) {
    const volatile std::uint8_t beyond = bgr[3 * pixels];
    static_cast<void>(beyond);
    vision_scalar()->grey_row(bgr, grey, pixels);
}

// Counts the first pixel of a block of odd width twice.
void histogram_block(const std::uint8_t* pixels, std::ptrdiff_t stride, std::size_t width, std::size_t height,
                     std::uint32_t* counts) {
    vision_scalar()->histogram_block(pixels, stride, width, height, counts);
    counts[pixels[0]] += width % 2 != 0 ? 1U : 0U;
}

// "At" the threshold counts as above.
void edge_band(const ImageView& grey, std::size_t top, std::size_t bottom, std::int32_t threshold_squared,
               EdgeSums* sums) {
    vision_scalar()->edge_band(grey, top, bottom, threshold_squared - 1, sums);
}

// Likewise.
void difference_rows(const std::uint8_t* a, std::ptrdiff_t a_stride, const std::uint8_t* b, std::ptrdiff_t b_stride,
                     std::size_t width, std::size_t height, std::uint8_t threshold, ColumnSums* sums) {
    const auto lower = static_cast<std::uint8_t>(threshold == 0 ? 0 : threshold - 1);
    vision_scalar()->difference_rows(a, a_stride, b, b_stride, width, height, lower, sums);
}

// What a whole pass over a band gets wrong of one tile: the log sum of the last, where there are several.
void tile_band(const ImageView& grey, std::size_t top, std::size_t bottom, std::size_t tile,
               const std::uint64_t* log_table, LevelCounter* counter, std::uint64_t* log_sums,
               std::int32_t threshold_squared, EdgeSums* edges) {
    vision_scalar()->tile_band(grey, top, bottom, tile, log_table, counter, log_sums, threshold_squared, edges);
    const std::size_t last = (grey.width - 1) / tile;
    log_sums[last] += last > 0 ? log_sums[last] / 1000 : 0;
}

// Leaves the first pixel of a row as it was in the frame before.
void grey_difference_row(const std::uint8_t* bgr, std::uint8_t* kept, std::size_t width, std::uint8_t threshold,
                         ColumnSums* sums) {
    const std::uint8_t first = kept[0];
    vision_scalar()->grey_difference_row(bgr, kept, width, threshold, sums);
    kept[0] = first;
}

// The flux of the first frame of a batch is 1 % too large.
void frames(const SoundPlan& plan, const float* samples, std::size_t hop, std::size_t count, float* work,
            float* previous, SoundSums* sums) {
    sound_scalar()->frames(plan, samples, hop, count, work, previous, sums);
    sums->flux *= 1.01F;
}

// Rounds ties away from zero.
void quantise8(const float* row, std::size_t width, float scale, std::int8_t* out) {
    tensor_scalar()->quantise8(row, width, scale, out);
    for (std::size_t i = 0; i < width && scale >= 1e-30F; ++i) {
        out[i] = static_cast<std::int8_t>(std::round(row[i] / scale));
    }
}

// Looks at all values but the last.
std::uint32_t peak(const float* row, std::size_t width) { return tensor_scalar()->peak(row, width - 1); }

// Takes differences that do not fit for ones that do.
std::uint8_t subtract8(const std::int8_t* values, const std::int8_t* previous, std::size_t width, std::int8_t* out) {
    const std::uint8_t most = tensor_scalar()->subtract8(values, previous, width, out);
    return most == kNoDelta ? std::uint8_t{127} : most;
}

// Leaves the last logit out of the sums.
void sums(const float* logits, std::size_t count, float most, float scale, LogitSums* made) {
    logits_scalar()->sums(logits, count > 1 ? count - 1 : count, most, scale, made);
}

}  // namespace

std::vector<const KernelTable*> faulty_kernels() {
    static std::vector<VisionKernels> vision(8, *vision_scalar());
    static SoundKernels sound = *sound_scalar();
    sound.frames = frames;
    vision[0].grey_row = grey_row;
    vision[1].grey_row = overwriting_grey_row;
    vision[2].grey_row = overreading_grey_row;
    vision[3].histogram_block = histogram_block;
    vision[4].edge_band = edge_band;
    vision[5].difference_rows = difference_rows;
    vision[6].tile_band = tile_band;
    vision[7].grey_difference_row = grey_difference_row;
    static std::vector<TensorKernels> tensor(3, *tensor_scalar());
    tensor[0].quantise8 = quantise8;
    tensor[1].peak = peak;
    tensor[2].subtract8 = subtract8;
    static LogitsKernels logits = *logits_scalar();
    logits.sums = sums;
    static const KernelTable tables[] = {
        {"grey", vision[0], *sound_scalar(), *tensor_scalar()},
        {"overwrite", vision[1], *sound_scalar(), *tensor_scalar()},
        {"histogram", vision[3], *sound_scalar(), *tensor_scalar()},
        {"edge_threshold", vision[4], *sound_scalar(), *tensor_scalar()},
        {"change_threshold", vision[5], *sound_scalar(), *tensor_scalar()},
        {"tile_entropy", vision[6], *sound_scalar(), *tensor_scalar()},
        {"kept_frame", vision[7], *sound_scalar(), *tensor_scalar()},
        {"flux", *vision_scalar(), sound, *tensor_scalar()},
        {"rounding", *vision_scalar(), *sound_scalar(), tensor[0]},
        {"peak", *vision_scalar(), *sound_scalar(), tensor[1]},
        {"delta", *vision_scalar(), *sound_scalar(), tensor[2]},
        {"token", *vision_scalar(), *sound_scalar(), *tensor_scalar(), logits},
#if defined(__SANITIZE_ADDRESS__)
        {"overread", vision[2], *sound_scalar(), *tensor_scalar()},
#endif
    };
    std::vector<const KernelTable*> all;
    for (const KernelTable& table : tables) {
        all.push_back(&table);
    }
    return all;
}

}  // namespace edge_agent
