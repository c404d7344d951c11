// The settings of the picture kernels as Python gives them: checked, and what is said where they do not fit.
#pragma once

#include <cstdint>
#include <string>

#include "bindings.h"

namespace edge_agent {

inline std::size_t checked_tile(py::ssize_t tile) {
    if (tile < static_cast<py::ssize_t>(kMinTile) || tile > static_cast<py::ssize_t>(kMaxTile)) {
        throw py::value_error("tile must be from 8 to 1024 pixels, not " + std::to_string(tile));
    }
    return static_cast<std::size_t>(tile);
}

inline std::int32_t checked_edge_threshold(double threshold) {
    if (!(threshold >= 0.0 && threshold <= 10000.0)) {
        throw py::value_error("edge_threshold must be from 0 to 10000, not " + std::to_string(threshold));
    }
    return squared_threshold(threshold);
}

inline std::uint8_t checked_change_threshold(py::ssize_t threshold) {
    if (threshold < 0 || threshold > 255) {
        throw py::value_error("change_threshold must be from 0 to 255, not " + std::to_string(threshold));
    }
    return static_cast<std::uint8_t>(threshold);
}

}  // namespace edge_agent
