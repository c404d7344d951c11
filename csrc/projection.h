// Embeddings as few integers, and those as few bytes: a transform over the grid and over the channels that was learned
// from training pictures, uniform steps, and an entropy coder with stored tables. Knows sizes and refusals, not Python.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels.h"
#include "symbols.h"
#include "tensor.h"

namespace edge_agent {

// The tokens of a grid, `first` to first + rows * columns - 1, row by row, which are transformed together: coefficients
// = (down x across) (x - mean) analysis, and back x = mean + (down x across)T coefficients synthesis, where the product
// of down and across is Kronecker's. All packed, row by row.
struct ProjectionGroup {
    std::size_t first, rows, columns, kept;
    std::vector<float> mean;       // [rows * columns, hidden]
    std::vector<float> down;       // [rows, rows]
    std::vector<float> across;     // [columns, columns]
    std::vector<float> analysis;   // [hidden, kept]
    std::vector<float> synthesis;  // [kept, hidden]

    std::size_t count() const { return rows * columns; }
};

// One quality. places[i] is the position of coefficient i among those of all groups one after the other (each
// [rows * columns, kept]), ascending; what is not among them is 0. Its value: magnitude = coefficient / step +
// rounding, cut.
struct ProjectionLevel {
    std::vector<std::uint32_t> places;
    std::vector<std::uint8_t> classes;  // of each place, a number of a table
    std::vector<float> steps;           // of each place
    float rounding;
    std::vector<ProjectionTable> tables;
};

class Projection {
  public:
    // Throws std::invalid_argument where a part does not fit the others or holds what no basis has.
    Projection(std::size_t tokens, std::size_t hidden, std::vector<ProjectionGroup> groups,
               std::vector<ProjectionLevel> levels);

    std::size_t tokens() const { return tokens_; }
    std::size_t hidden() const { return hidden_; }
    std::size_t levels() const { return levels_.size(); }
    // How many values a view has at `level`, which must be one.
    std::size_t values(std::size_t level) const { return levels_[level].places.size(); }

    // x [views * tokens, hidden] to [views, values(level)] integers. Throws where one is NaN, or larger than any basis
    // is made for. With `held` and `margins`, as many each, a coefficient nearer to what is held than its margin, in
    // steps, keeps that.
    void quantise(const KernelTable& kernels, std::size_t level, const Rows<const float>& x, std::int32_t* out,
                  const std::int32_t* held = nullptr, const float* margins = nullptr) const;

    // And back. Each integer is -kMostValue..kMostValue, else throws.
    void restore(const KernelTable& kernels, std::size_t level, const std::int32_t* values,
                 const Rows<float>& out) const;

    // [views, values(level)] integers of -kMostValue..kMostValue, else throws, to bytes.
    std::vector<std::uint8_t> pack(std::size_t level, std::size_t views, const std::int32_t* values) const;

    // And back. Reads `size` bytes and never beyond. Throws unless they are exactly what `pack` makes of some integers.
    void unpack(std::size_t level, std::size_t views, const std::uint8_t* data, std::size_t size,
                std::int32_t* out) const;

    static constexpr std::int32_t kMostValue = kMostInteger;

  private:
    void check() const;
    void mix(const KernelTable& kernels, const ProjectionGroup& group, const Rows<const float>& x, std::size_t view,
             std::vector<float>* scratch, float* out) const;
    void unmix(const KernelTable& kernels, const ProjectionGroup& group, const float* mixed, float* scratch,
               const Rows<float>& out, std::size_t first) const;

    std::size_t tokens_, hidden_;
    std::vector<ProjectionGroup> groups_;
    std::vector<ProjectionLevel> levels_;
};

}  // namespace edge_agent
