// token_statistics in Python: a plain function of CPython, as it is called for every token of every answer.

#include "bindings.h"
#include "logits.h"
#include "plain_method.h"

namespace edge_agent {
namespace {

// Work on fewer logits than this takes less time than handing the GIL over and back.
constexpr std::size_t kReleaseFrom = 16384;

// The logits of an array as simple as arrays usually are, without a buffer view; nullptr for any other.
const float* few_logits(const py::handle& logits, std::size_t* count) {
    if (!py::isinstance<py::array>(logits)) {
        return nullptr;
    }
    constexpr int simple = py::detail::npy_api::NPY_ARRAY_C_CONTIGUOUS_ | py::detail::npy_api::NPY_ARRAY_ALIGNED_;
    const auto* array = py::detail::array_proxy(logits.ptr());
    if (array->nd != 1 || (array->flags & simple) != simple || array->descr != py::dtype::of<float>().ptr()) {
        return nullptr;
    }
    *count = static_cast<std::size_t>(array->dimensions[0]);
    return *count > 0 && *count < kReleaseFrom ? reinterpret_cast<const float*>(array->data) : nullptr;
}

const float* all_logits(const Buffer& buffer) {
    if (!buffer.has_format("f")) {
        buffer.wrong_type("float32");
    }
    if (buffer.rank() != 1 || buffer.size(0) == 0 || (buffer.size(0) > 1 && buffer.stride(0) != sizeof(float)) ||
        reinterpret_cast<std::uintptr_t>(buffer.data()) % sizeof(float) != 0) {
        buffer.wrong_shape("must be [vocab], packed and not empty");
    }
    return static_cast<const float*>(buffer.data());
}

// The token that is asked for; `count`, the likeliest, for None.
std::size_t token_in(const py::handle& token, std::size_t count) {
    if (token.is_none()) {
        return count;
    }
    const py::ssize_t index = PyNumber_AsSsize_t(token.ptr(), PyExc_OverflowError);
    if (index == -1 && PyErr_Occurred() != nullptr) {
        throw py::error_already_set();
    }
    if (index < 0 || static_cast<std::size_t>(index) >= count) {
        throw py::value_error("token must be 0 to " + std::to_string(count - 1) + ", not " + std::to_string(index));
    }
    return static_cast<std::size_t>(index);
}

TokenStatistics measured(const KernelTable& kernels, const py::handle& logits, double temperature,
                         const py::handle& token) {
    std::size_t count = 0;
    if (const float* const values = few_logits(logits, &count)) {
        return token_statistics(kernels, values, count, temperature, token_in(token, count));
    }
    const Buffer buffer(logits, "logits");
    const float* const values = all_logits(buffer);
    count = buffer.size(0);
    const std::size_t wanted = token_in(token, count);
    const py::gil_scoped_release release;
    return token_statistics(kernels, values, count, temperature, wanted);
}

PyObject* statistics(PyObject*, PyObject* const* arguments, Py_ssize_t given) {
    return with_errors_for_python([&]() -> PyObject* {
        if (given < 1 || given > 4) {
            throw py::type_error("token_statistics takes logits, temperature, token and isa, by position");
        }
        const double temperature = given > 1 ? PyFloat_AsDouble(arguments[1]) : 1.0;
        if (temperature == -1.0 && PyErr_Occurred() != nullptr) {
            throw py::error_already_set();
        }
        const py::handle token = given > 2 ? arguments[2] : Py_None;
        const KernelTable& kernels = given > 3 ? choose(py::cast<Isa>(py::handle(arguments[3]))) : active_kernels();
        const TokenStatistics made = measured(kernels, arguments[0], temperature, token);
        return Py_BuildValue("ndd", static_cast<Py_ssize_t>(made.token), made.probability, made.entropy);
    });
}

PyMethodDef kStatistics{"token_statistics", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(statistics)),
                        METH_FASTCALL, nullptr};

}  // namespace

void add_logits(py::module_& module) {
    PyObject* const function = PyCFunction_NewEx(&kStatistics, nullptr, module.attr("__name__").ptr());
    if (function == nullptr) {
        throw py::error_already_set();
    }
    module.attr(kStatistics.ml_name) = py::reinterpret_steal<py::object>(function);
}

}  // namespace edge_agent
