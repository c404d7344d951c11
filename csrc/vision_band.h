// How a band of rows is walked, for every instruction set with vectors: strips of 16 columns from top to bottom, each
// row of which is counted and differentiated in one go, so that the vector work hides behind the stores of the
// counting.
//
// Isa is a type of an unnamed namespace, which keeps what is instantiated here inside its file. It has
//   Lanes                                    sums of edges; add_to(EdgeSums*)
//   count(pixels, counter)                   counts 16 pixels
//   harvest(log_table, counter)              the log sum of what was counted since the last harvest
//   Strip<kMasked>(rows..., threshold, keep) the 16 interior columns from 1 to 16, carried from row to row;
//     step(row)                              takes in the next row and completes the one before
//     finish(lanes)                          adds up; after at most kMaxBandTile steps
#pragma once

#include "vision_kernels.h"

namespace edge_agent {

constexpr std::size_t kStrip = 16;
constexpr std::size_t kStripReach = kStrip + 2;  // columns that a strip reads
constexpr std::size_t kAhead = 192;              // how far ahead of a strip its rows are asked for, in columns

template <class Isa>
class BandWalk {
  public:
    BandWalk(const ImageView& grey, std::size_t top, std::size_t bottom, std::int32_t threshold_squared)
        : grey_(grey), top_(top), bottom_(bottom), first_(top < 2 ? 2 : top), threshold_(threshold_squared) {}

    // Edges of the interior columns from column + 1 on.
    void edges_from(std::size_t column, typename Isa::Lanes* lanes) const {
        for (; column + kStripReach <= grey_.width; column += kStrip) {
            walk<false, false>(column, 0, nullptr, lanes);
        }
        if (column + 2 < grey_.width) {  // the last 16 again, without those already done
            const std::size_t last = grey_.width - kStripReach;
            walk<false, true>(last, column - last, nullptr, lanes);
        }
    }

    // Whole strips from `column` to `end`: counts them and does their edges; the first column that it left.
    std::size_t strips(std::size_t column, std::size_t end, LevelCounter* counter, typename Isa::Lanes* lanes) const {
        for (; column + kStrip <= end && column + kStripReach <= grey_.width; column += kStrip) {
            walk<true, false>(column, 0, counter, lanes);
        }
        return column;
    }

    // Counts the columns from `column` to `end`.
    void count(std::size_t column, std::size_t end, LevelCounter* counter) const {
        for (; column + kStrip <= end; column += kStrip) {
            const std::uint8_t* row = grey_.row(top_) + column;
            for (std::size_t y = top_; y < bottom_; ++y, row += grey_.stride) {
                Isa::count(row, counter);
            }
        }
        const std::uint8_t* row = grey_.row(top_);
        for (std::size_t y = top_; y < bottom_; ++y, row += grey_.stride) {
            for (std::size_t x = column; x < end; ++x) {
                ++counter->tables[0][row[x]];
            }
        }
    }

  private:
    template <bool kCount, bool kMasked>
    void walk(std::size_t column, std::size_t done, LevelCounter* counter, typename Isa::Lanes* lanes) const {
        const std::ptrdiff_t stride = grey_.stride;
        const std::uint8_t* row = grey_.row(first_) + column;
        if (kCount) {  // rows 0 and 1 complete no interior row
            for (std::size_t y = top_; y < first_; ++y) {
                Isa::count(grey_.row(y) + column, counter);
            }
        }
        typename Isa::template Strip<kMasked> strip(row - 2 * stride, row - stride, threshold_, done);
        const std::uint8_t* const end = grey_.row(bottom_) + column;
        for (; row != end; row += stride) {
            if (!kCount) {  // with nothing to count the picture may come from memory, a line of 64 rows at a time
                __builtin_prefetch(row + kAhead);
            }
            strip.step(row);
            if (kCount) {
                Isa::count(row, counter);
            }
        }
        strip.finish(lanes);
    }

    const ImageView& grey_;
    const std::size_t top_;
    const std::size_t bottom_;
    const std::size_t first_;
    const std::int32_t threshold_;
};

template <class Isa>
void histogram_block_of(const std::uint8_t* pixels, std::ptrdiff_t stride, std::size_t width, std::size_t height,
                        std::uint32_t* counts) {
    LevelCounter counter = {};
    for (std::size_t y = 0; y < height; ++y, pixels += stride) {
        std::size_t x = 0;
        for (; x + kStrip <= width; x += kStrip) {
            Isa::count(pixels + x, &counter);
        }
        for (; x < width; ++x) {
            ++counter.tables[0][pixels[x]];
        }
    }
    for (std::size_t level = 0; level < 256; ++level) {
        counts[level] +=
            counter.tables[0][level] + counter.tables[1][level] + counter.tables[2][level] + counter.tables[3][level];
    }
}

template <class Isa>
void edge_band_of(const ImageView& grey, std::size_t top, std::size_t bottom, std::int32_t threshold_squared,
                  EdgeSums* sums) {
    if (grey.width < kStripReach) {
        vision_scalar()->edge_band(grey, top, bottom, threshold_squared, sums);
        return;
    }
    typename Isa::Lanes lanes;
    for (std::size_t y = top; y < bottom; y += kMaxBandTile) {
        const std::size_t end = bottom - y < kMaxBandTile ? bottom : y + kMaxBandTile;
        BandWalk<Isa>(grey, y, end, threshold_squared).edges_from(0, &lanes);
    }
    lanes.add_to(sums);
}

template <class Isa>
void tile_band_of(const ImageView& grey, std::size_t top, std::size_t bottom, std::size_t tile,
                  const std::uint64_t* log_table, LevelCounter* counter, std::uint64_t* log_sums,
                  std::int32_t threshold_squared, EdgeSums* edges) {
    const bool together = edges != nullptr && grey.width >= kStripReach && tile % kStrip == 0;
    const BandWalk<Isa> walk(grey, top, bottom, threshold_squared);
    typename Isa::Lanes lanes;
    for (std::size_t x = 0; x < grey.width; x += tile, ++log_sums) {
        const std::size_t end = grey.width - x < tile ? grey.width : x + tile;
        walk.count(together ? walk.strips(x, end, counter, &lanes) : x, end, counter);
        *log_sums = Isa::harvest(log_table, counter);
    }
    if (together) {
        walk.edges_from((grey.width - kStripReach) / kStrip * kStrip + kStrip, &lanes);
        lanes.add_to(edges);
    } else if (edges != nullptr) {
        edge_band_of<Isa>(grey, top, bottom, threshold_squared, edges);
    }
}

}  // namespace edge_agent
