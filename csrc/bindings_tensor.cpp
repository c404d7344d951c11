// Tensors in Python: quantising rows, and their change since a tensor before.

#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "bindings.h"
#include "tensor.h"

namespace edge_agent {
namespace {

// Work on fewer values than this takes less time than handing the GIL over and back.
constexpr std::size_t kReleaseFrom = 16384;

template <class Value>
struct Named;  // what the buffer protocol and NumPy call a type
template <>
struct Named<float> {
    static constexpr const char *format = "f", *name = "float32";
};
template <>
struct Named<std::int8_t> {
    static constexpr const char *format = "b", *name = "int8";
};
template <>
struct Named<std::uint8_t> {
    static constexpr const char *format = "B", *name = "uint8";
};

// The memory that a call reads or writes, so that no output lies in another array of the call.
class Ranges {
  public:
    void read(const Buffer& buffer) { taken_[count_++] = {buffer.begin(), buffer.end()}; }
    void written(const Buffer& buffer) {
        for (std::size_t i = 0; i < count_; ++i) {
            if (buffer.begin() < taken_[i].end && taken_[i].begin < buffer.end()) {
                buffer.wrong_shape("shares memory with another array of the call");
            }
        }
        read(buffer);
    }

  private:
    struct Range {
        const char* begin;
        const char* end;
    };
    Range taken_[5];  // no call has more arrays
    std::size_t count_ = 0;
};

// [rows, width], values packed within a row, rows any positive distance apart.
template <class Value>
Rows<Value> rows_of(const Buffer& buffer) {
    using Named = Named<std::remove_const_t<Value>>;
    if (!buffer.has_format(Named::format)) {
        buffer.wrong_type(Named::name);
    }
    if (buffer.rank() != 2 || buffer.size(0) == 0 || buffer.size(1) == 0) {
        buffer.wrong_shape("must be [rows, width], neither of them 0");
    }
    const std::size_t rows = buffer.size(0), width = buffer.size(1);
    constexpr auto size = static_cast<std::ptrdiff_t>(sizeof(Value));
    const bool packed = width == 1 || buffer.stride(1) == size;
    const bool forward =
        rows == 1 || (buffer.stride(0) >= static_cast<std::ptrdiff_t>(width) * size && buffer.stride(0) % size == 0);
    if (!packed || !forward || reinterpret_cast<std::uintptr_t>(buffer.data()) % sizeof(Value) != 0) {
        buffer.wrong_shape(
            "must have packed values and rows in order (no negative, zero or value strides); use "
            "numpy.ascontiguousarray");
    }
    return {static_cast<Value*>(const_cast<void*>(buffer.data())), rows == 1 ? 0 : buffer.stride(0) / size, rows,
            width};
}

// [rows], packed.
template <class Value>
Value* column_of(const Buffer& buffer, std::size_t rows) {
    using Named = Named<std::remove_const_t<Value>>;
    if (!buffer.has_format(Named::format)) {
        buffer.wrong_type(Named::name);
    }
    if (buffer.rank() != 1 || buffer.size(0) != rows || (rows > 1 && buffer.stride(0) != sizeof(Value)) ||
        reinterpret_cast<std::uintptr_t>(buffer.data()) % sizeof(Value) != 0) {
        buffer.wrong_shape("must be packed and have " + std::to_string(rows) + " values, one a row");
    }
    return static_cast<Value*>(const_cast<void*>(buffer.data()));
}

template <class Value>
void expect_shape(const Buffer& buffer, const Rows<Value>& rows, std::size_t count, std::size_t width) {
    if (rows.rows != count || rows.width != width) {
        buffer.wrong_shape("must be [" + std::to_string(count) + ", " + std::to_string(width) + "]");
    }
}

// An array of the call, held open for its length.
template <class Value>
struct Input {
    Input(const py::object& object, const char* name, Ranges* ranges) : buffer(object, name) { ranges->read(buffer); }
    Rows<const Value> rows() const { return rows_of<const Value>(buffer); }
    Rows<const Value> rows(std::size_t count, std::size_t width) const {
        const Rows<const Value> found = rows();
        expect_shape(buffer, found, count, width);
        return found;
    }
    const Value* column(std::size_t count) const { return column_of<const Value>(buffer, count); }

    Buffer buffer;
};

// Where results go: the caller's array, or a new one.
template <class Value>
class Output {
  public:
    Output(const py::object& object, const char* name, Ranges* ranges) : object_(object) {
        if (!object.is_none()) {
            buffer_.emplace(object, name);
            buffer_->need_writable();
            ranges->written(*buffer_);
        }
    }
    Rows<Value> rows(std::size_t count, std::size_t width) {
        if (!buffer_) {
            py::array_t<Value> made({count, width});
            Value* const data = made.mutable_data();
            object_ = std::move(made);
            return {data, static_cast<std::ptrdiff_t>(width), count, width};
        }
        const Rows<Value> found = rows_of<Value>(*buffer_);
        expect_shape(*buffer_, found, count, width);
        return found;
    }
    Value* column(std::size_t count) {
        if (!buffer_) {
            py::array_t<Value> made(static_cast<py::ssize_t>(count));
            Value* const data = made.mutable_data();
            object_ = std::move(made);
            return data;
        }
        return column_of<Value>(*buffer_, count);
    }
    py::object taken() { return std::move(object_); }

  private:
    py::object object_;
    std::optional<Buffer> buffer_;
};

// Calls without the GIL where there is enough to do.
template <class Work>
void run(std::size_t values, Work work) {
    if (values < kReleaseFrom) {
        work();
        return;
    }
    const py::gil_scoped_release release;
    work();
}

// Whichever way values become `Value`s, kTogether of them in one.
template <class Value, std::size_t kTogether, auto kQuantise>
py::tuple quantised(const py::object& x, const py::object& out, const py::object& scales, const Isa& isa) {
    const KernelTable& kernels = choose(isa);
    Ranges ranges;
    const Input<float> from(x, "x", &ranges);
    Output<Value> to(out, "out", &ranges);
    Output<float> steps(scales, "scales", &ranges);
    const Rows<const float> values = from.rows();
    const Rows<Value> made = to.rows(values.rows, (values.width + kTogether - 1) / kTogether);
    float* const column = steps.column(values.rows);
    run(values.rows * values.width, [&] { kQuantise(kernels, values, made, column); });
    return py::make_tuple(to.taken(), steps.taken());
}

py::object dequantise8(const py::object& values, const py::object& scales, const py::object& out, const Isa& isa) {
    const KernelTable& kernels = choose(isa);
    Ranges ranges;
    const Input<std::int8_t> from(values, "values", &ranges);
    const Input<float> steps(scales, "scales", &ranges);
    Output<float> to(out, "out", &ranges);
    const Rows<const std::int8_t> quantised = from.rows();
    const float* const column = steps.column(quantised.rows);
    const Rows<float> x = to.rows(quantised.rows, quantised.width);
    run(x.rows * x.width, [&] { dequantise_int8(kernels, quantised, column, x); });
    return to.taken();
}

py::object dequantise4(const py::object& values, const py::object& scales, py::ssize_t width, const py::object& out,
                       const Isa& isa) {
    const KernelTable& kernels = choose(isa);
    Ranges ranges;
    const Input<std::uint8_t> from(values, "values", &ranges);
    const Input<float> steps(scales, "scales", &ranges);
    Output<float> to(out, "out", &ranges);
    const Rows<const std::uint8_t> quantised = from.rows();
    const auto wanted = static_cast<std::size_t>(width);
    if (width < 1 || (wanted + 1) / 2 != quantised.width) {
        throw py::value_error("width must be " + std::to_string(2 * quantised.width - 1) + " or " +
                              std::to_string(2 * quantised.width) + ", two values a byte, not " +
                              std::to_string(width));
    }
    const float* const column = steps.column(quantised.rows);
    const Rows<float> x = to.rows(quantised.rows, wanted);
    run(x.rows * x.width, [&] { dequantise_int4(kernels, quantised, column, x); });
    return to.taken();
}

py::object changes(const py::object& x, const py::object& previous, const py::object& out, const Isa& isa) {
    const KernelTable& kernels = choose(isa);
    Ranges ranges;
    const Input<float> now(x, "x", &ranges);
    const Input<float> before(previous, "previous", &ranges);
    Output<float> to(out, "out", &ranges);
    const Rows<const float> a = now.rows();
    const Rows<const float> b = before.rows(a.rows, a.width);
    float* const column = to.column(a.rows);
    run(a.rows * a.width, [&] { row_changes(kernels, a, b, column); });
    return to.taken();
}

py::tuple delta8(const py::object& x, const py::object& values, const py::object& scales, const py::object& out,
                 const py::object& peaks, const Isa& isa) {
    const KernelTable& kernels = choose(isa);
    Ranges ranges;
    const Input<float> now(x, "x", &ranges);
    const Input<std::int8_t> before(values, "values", &ranges);
    const Input<float> steps(scales, "scales", &ranges);
    Output<std::int8_t> to(out, "out", &ranges);
    Output<std::uint8_t> largest(peaks, "peaks", &ranges);
    const Rows<const float> a = now.rows();
    const Rows<const std::int8_t> b = before.rows(a.rows, a.width);
    const float* const column = steps.column(a.rows);
    const Rows<std::int8_t> delta = to.rows(a.rows, a.width);
    std::uint8_t* const most = largest.column(a.rows);
    run(a.rows * a.width, [&] { delta_int8(kernels, a, b, column, delta, most); });
    return py::make_tuple(to.taken(), largest.taken());
}

py::object add_delta8(const py::object& values, const py::object& delta, const py::object& out, const Isa& isa) {
    const KernelTable& kernels = choose(isa);
    Ranges ranges;
    const Input<std::int8_t> before(values, "values", &ranges);
    const Input<std::int8_t> change(delta, "delta", &ranges);
    Output<std::int8_t> to(out, "out", &ranges);
    const Rows<const std::int8_t> a = before.rows();
    const Rows<const std::int8_t> b = change.rows(a.rows, a.width);
    const Rows<std::int8_t> sum = to.rows(a.rows, a.width);
    run(a.rows * a.width, [&] { add_delta_int8(kernels, a, b, sum); });
    return to.taken();
}

}  // namespace

void add_tensor(py::module_& module) {
    using py::arg;
    const auto none = py::none();
    module.def("quantise_int8", &quantised<std::int8_t, 1, &quantise_int8>, arg("x"), arg("out") = none,
               arg("scales") = none, arg("isa") = none);
    module.def("quantise_int4", &quantised<std::uint8_t, 2, &quantise_int4>, arg("x"), arg("out") = none,
               arg("scales") = none, arg("isa") = none);
    module.def("dequantise_int8", &dequantise8, arg("values"), arg("scales"), arg("out") = none, arg("isa") = none);
    module.def("dequantise_int4", &dequantise4, arg("values"), arg("scales"), arg("width"), arg("out") = none,
               arg("isa") = none);
    module.def("row_changes", &changes, arg("x"), arg("previous"), arg("out") = none, arg("isa") = none);
    module.def("delta_int8", &delta8, arg("x"), arg("values"), arg("scales"), arg("out") = none, arg("peaks") = none,
               arg("isa") = none);
    module.def("add_delta_int8", &add_delta8, arg("values"), arg("delta"), arg("out") = none, arg("isa") = none);
}

}  // namespace edge_agent
