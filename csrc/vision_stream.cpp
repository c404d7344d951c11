// A stream of frames.
//
// A row of tiles at a time: its rows are turned into grey in the place of those of the frame before, while these are
// compared with them, and then counted and differentiated while they are in the nearest cache.

#include "vision_stream.h"

#include <algorithm>
#include <cstring>

#include "entropy.h"

namespace edge_agent {

VisionStream::VisionStream(const KernelTable& kernels, std::size_t tile, std::int32_t threshold_squared,
                           std::uint8_t change_threshold)
    : kernels_(kernels), tile_(tile), threshold_squared_(threshold_squared), change_threshold_(change_threshold) {}

VisionResult VisionStream::analyze(const ImageView& image, float* entropy_map, float* motion_map) {
    const std::lock_guard<std::mutex> lock(mutex_);
    VisionResult result;
    result.has_motion = width_ == image.width && height_ == image.height;
    if (!result.has_motion) {
        make_room(image);
    }
    const TileGrid grid(image.width, image.height, tile_);
    const ImageView grey{kept_row(0), static_cast<std::ptrdiff_t>(lines_a_row_ * sizeof(Line)), image.width,
                         image.height, 1};
    LevelCounter counter = {};
    EdgeSums edges;
    DifferenceSums motion;
    for (std::size_t row = 0; row < grid.rows; ++row) {
        const std::size_t first_tile = row * grid.columns;
        if (result.has_motion) {
            const DifferenceSums band = replace_rows(image, grid, row, motion_map + first_tile);
            motion.absolute += band.absolute;
            motion.changed += band.changed;
        } else {
            for (std::size_t y = row * tile_; y < std::min(image.height, (row + 1) * tile_); ++y) {
                keep_row(image, y);
            }
            std::fill_n(motion_map + first_tile, grid.columns, 0.0F);
        }
        entropy_band(kernels_, grey, grid, row, &counter, entropy_map + first_tile, threshold_squared_, &edges);
    }
    const std::uint64_t pixels = static_cast<std::uint64_t>(image.width) * image.height;
    result.entropy = entropy_bits(counter.before, pixels);
    edges.laplacian = laplacian_sum(grey);
    result.edge_density = edge_density(edges, image.width, image.height);
    result.laplacian_variance = laplacian_variance(edges, image.width, image.height);
    result.mean_absolute_difference = share(motion.absolute, pixels);
    result.changed_share = share(motion.changed, pixels);
    return result;
}

// The only step that can fail; there is no last frame then. An odd number of lines a row, so that the rows of a tile do
// not all compete for the same few places of the cache.
void VisionStream::make_room(const ImageView& image) {
    width_ = 0;
    height_ = 0;
    lines_a_row_ = ((image.width + sizeof(Line) - 1) / sizeof(Line)) | 1;
    lines_.resize(lines_a_row_ * image.height);
    absolute_.resize((image.width + 7) / 8 * 2);
    fresh_.resize(tile_ % 8 == 0 ? 0 : lines_a_row_ * std::min(tile_, image.height));
    width_ = image.width;
    height_ = image.height;
}

void VisionStream::keep_row(const ImageView& image, std::size_t y) {
    if (image.channels == 3) {
        kernels_.vision.grey_row(image.row(y), kept_row(y), image.width);
    } else {
        std::memcpy(kept_row(y), image.row(y), image.width);
    }
}

DifferenceSums VisionStream::replace_rows(const ImageView& image, const TileGrid& grid, std::size_t row,
                                          float* motion_map) {
    const std::size_t top = row * tile_;
    const std::size_t height = std::min(image.height - top, tile_);
    const auto stride = static_cast<std::ptrdiff_t>(lines_a_row_ * sizeof(Line));
    if (image.channels == 3 && tile_ % 8 == 0) {
        std::fill(absolute_.begin(), absolute_.end(), 0);
        ColumnSums sums{absolute_.data(), 0};
        for (std::size_t y = top; y < top + height; ++y) {
            kernels_.vision.grey_difference_row(image.row(y), kept_row(y), image.width, change_threshold_, &sums);
        }
        return {difference_map_row(absolute_.data(), image.width, height, grid, motion_map), sums.changed};
    }
    ImageView now{image.row(top), image.stride, image.width, height, 1};
    if (image.channels == 3) {  // no sums of 8 columns that a tile could be made of
        now = {fresh_[0].bytes, stride, image.width, height, 1};
        for (std::size_t y = 0; y < height; ++y) {
            kernels_.vision.grey_row(image.row(top + y), fresh_[y * lines_a_row_].bytes, image.width);
        }
    }
    const ImageView before{kept_row(top), stride, image.width, height, 1};
    const DifferenceSums band = difference_band(kernels_, before, now, grid, change_threshold_, motion_map);
    for (std::size_t y = 0; y < height; ++y) {
        std::memcpy(kept_row(top + y), now.row(y), image.width);
    }
    return band;
}

void VisionStream::reset() {
    const std::lock_guard<std::mutex> lock(mutex_);
    width_ = 0;
    height_ = 0;
    lines_ = {};
    absolute_ = {};
    fresh_ = {};
}

}  // namespace edge_agent
