// Arrays that Python hands over: what they must look like, and what is said where they do not.
#pragma once

#include <pybind11/pybind11.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>

#include "vision.h"

namespace edge_agent {

namespace py = pybind11;

// Holds a buffer of Python for the length of a call. Made and destroyed with the GIL held.
class Buffer {
  public:
    Buffer(const py::handle& object, const char* name) : name_(name) {
        if (PyObject_GetBuffer(object.ptr(), &view_, PyBUF_STRIDES | PyBUF_FORMAT) != 0) {
            PyErr_Clear();
            throw py::type_error(std::string(name) + " must be a NumPy array, not " +
                                 std::string(py::str(py::type::handle_of(object).attr("__name__"))));
        }
    }
    ~Buffer() { PyBuffer_Release(&view_); }
    Buffer(const Buffer&) = delete;
    Buffer& operator=(const Buffer&) = delete;

    int rank() const { return view_.ndim; }
    std::size_t size(int axis) const { return static_cast<std::size_t>(view_.shape[axis]); }
    std::ptrdiff_t stride(int axis) const { return view_.strides[axis]; }
    const void* data() const { return view_.buf; }
    // The memory from its first byte to behind its last, where no stride is negative.
    const char* begin() const { return static_cast<const char*>(view_.buf); }
    const char* end() const {
        const char* last = begin() + view_.itemsize;
        for (int axis = 0; axis < view_.ndim; ++axis) {
            last += view_.shape[axis] > 0 ? (view_.shape[axis] - 1) * view_.strides[axis] : 0;
        }
        return last;
    }
    bool overlaps(const Buffer& other) const { return begin() < other.end() && other.begin() < end(); }
    void need_writable() const {
        if (view_.readonly != 0) {
            throw py::value_error(std::string(name_) + " is read-only");
        }
    }
    bool has_format(const char* format) const {
        return view_.format != nullptr && std::strcmp(view_.format, format) == 0;
    }

    [[noreturn]] void wrong_type(const std::string& wanted) const {
        throw py::type_error(std::string(name_) + " must be an array of " + wanted + ", not of format '" +
                             (view_.format != nullptr ? view_.format : "?") +
                             "'; convert it first, e.g. array.astype(...)");
    }
    [[noreturn]] void wrong_shape(const std::string& what) const {
        std::string shape = "(";
        for (int axis = 0; axis < view_.ndim; ++axis) {
            shape += (axis == 0 ? "" : ", ") + std::to_string(view_.shape[axis]);
        }
        throw py::value_error(std::string(name_) + " " + what + "; its shape is " + shape + ")");
    }

  private:
    const char* name_;
    Py_buffer view_{};
};

// uint8 [H, W] or [H, W, 3], pixels packed within a row, rows any positive distance apart. With `first` 1, the first of
// several such pictures, [N, ...].
inline ImageView image_view(const Buffer& buffer, int first = 0) {
    if (!buffer.has_format("B")) {
        buffer.wrong_type("uint8");
    }
    const int rank = buffer.rank() - first;
    if (rank != 2 && !(rank == 3 && buffer.size(first + 2) == 3)) {
        buffer.wrong_shape(first == 0 ? "must be [H, W] grey or [H, W, 3] BGR"
                                      : "must be [N, H, W] grey or [N, H, W, 3] BGR");
    }
    const std::size_t channels = rank == 3 ? 3 : 1;
    const ImageView view{static_cast<const std::uint8_t*>(buffer.data()), buffer.stride(first), buffer.size(first + 1),
                         buffer.size(first), channels};
    if (view.width == 0 || view.height == 0) {
        buffer.wrong_shape("has no pixels");
    }
    if (view.width > kMaxSide || view.height > kMaxSide || view.width * view.height > kMaxPixels) {
        buffer.wrong_shape("is larger than 65535 a side or 268435456 pixels");
    }
    const bool packed = (view.width == 1 || buffer.stride(first + 1) == static_cast<std::ptrdiff_t>(channels)) &&
                        (channels == 1 || buffer.stride(first + 2) == 1);
    const bool forward = view.height == 1 || view.stride >= static_cast<std::ptrdiff_t>(view.width * channels);
    if (!packed || !forward) {
        buffer.wrong_shape(
            "must have packed pixels and rows in order (no negative, zero or pixel strides); use "
            "numpy.ascontiguousarray");
    }
    return view;
}

inline ImageView grey_view(const Buffer& buffer) {
    const ImageView view = image_view(buffer);
    if (view.channels != 1) {
        buffer.wrong_shape("must be grey, [H, W]");
    }
    return view;
}

}  // namespace edge_agent
