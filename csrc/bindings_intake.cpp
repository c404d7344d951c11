// Intake and Filling in Python: an uploaded tensor's bytes from the frames of a connection to where they stay.

#include "bindings.h"
#include "intake.h"
#include "plain_method.h"

namespace edge_agent {
namespace {

// The bytes of one tensor while they come: a `bytes` of its whole size that nobody else has seen, filled in place.
class Filling {
  public:
    explicit Filling(std::size_t size)
        : bytes_(py::reinterpret_steal<py::object>(PyBytes_FromStringAndSize(nullptr, static_cast<Py_ssize_t>(size)))) {
        if (!bytes_) {
            throw py::error_already_set();
        }
        destination_.to = reinterpret_cast<std::uint8_t*>(PyBytes_AS_STRING(bytes_.ptr()));
        destination_.size = size;
    }

    Destination& destination() { return destination_; }

    void add(const py::bytes& chunk) {
        const auto size = static_cast<std::size_t>(PyBytes_GET_SIZE(chunk.ptr()));
        if (destination_.to == nullptr || size > destination_.size - destination_.filled) {
            throw py::value_error("more bytes than there is room for");
        }
        std::memcpy(destination_.to + destination_.filled, PyBytes_AS_STRING(chunk.ptr()), size);
        destination_.filled += size;
    }

    py::object finish() {
        if (destination_.to == nullptr || destination_.filled != destination_.size) {
            throw py::value_error("not all bytes are there, or they were taken");
        }
        destination_.to = nullptr;
        return std::move(bytes_);
    }

  private:
    py::object bytes_;
    Destination destination_;
};

// An Intake and what it needs of Python: the function of the checksum, and the filling that it writes to.
struct PyIntake {
    explicit PyIntake(py::object function) : checksum(std::move(function)) {}

    Intake intake;
    py::object checksum;
    py::object filling;
};

void arm(PyIntake& self, std::uint64_t session, std::uint32_t stream, std::uint32_t seq, const py::object& filling,
         std::uint64_t most_bytes, std::size_t chunk_bytes) {
    Destination& destination = filling.cast<Filling&>().destination();
    self.filling = filling;
    self.intake.arm({session, stream, seq, most_bytes, chunk_bytes}, &destination);
}

void disarm(PyIntake& self) {
    self.intake.disarm();
    self.filling = py::object();
}

py::tuple settle(PyIntake& self) {
    const Taken taken = self.intake.settle();
    return py::make_tuple(taken.frames, taken.bytes);
}

// The checksum by the function of Python, which reads the payload where it lies.
std::uint32_t checksum_of(const PyIntake& self, std::uint32_t before, const std::uint8_t* data, std::size_t size) {
    const auto view = py::reinterpret_steal<py::object>(PyMemoryView_FromMemory(
        const_cast<char*>(reinterpret_cast<const char*>(data)), static_cast<Py_ssize_t>(size), PyBUF_READ));
    const auto start = py::reinterpret_steal<py::object>(PyLong_FromUnsignedLong(before));
    PyObject* const arguments[] = {view.ptr(), start.ptr()};
    const auto found =
        py::reinterpret_steal<py::object>(PyObject_Vectorcall(self.checksum.ptr(), arguments, 2, nullptr));
    if (!found) {
        throw py::error_already_set();
    }
    const unsigned long value = PyLong_AsUnsignedLong(found.ptr());
    if (value == static_cast<unsigned long>(-1) && PyErr_Occurred() != nullptr) {
        throw py::error_already_set();
    }
    return static_cast<std::uint32_t>(value);
}

PyObject* take(PyObject* object, PyObject* data) {
    return with_errors_for_python([&]() -> PyObject* {
        auto& self = instance_in<PyIntake>(object);
        if (!PyBytes_CheckExact(data)) {
            Py_RETURN_FALSE;
        }
        const bool took =
            self.intake.take(reinterpret_cast<const std::uint8_t*>(PyBytes_AS_STRING(data)),
                             static_cast<std::size_t>(PyBytes_GET_SIZE(data)),
                             [&self](std::uint32_t before, const std::uint8_t* payload, std::size_t size) {
                                 return checksum_of(self, before, payload, size);
                             });
        return PyBool_FromLong(took ? 1 : 0);
    });
}

PyMethodDef kTake{"take", take, METH_O, nullptr};

}  // namespace

void add_intake(py::module_& module) {
    using py::arg;
    py::class_<Filling>(module, "Filling", py::is_final())
        .def(py::init<std::size_t>(), arg("size"))
        .def("add", &Filling::add, arg("chunk"))
        .def("finish", &Filling::finish)
        .def_property_readonly("size", [](Filling& self) { return self.destination().size; })
        .def_property_readonly("filled", [](Filling& self) { return self.destination().filled; });
    py::class_<PyIntake> intake(module, "Intake", py::is_final());
    intake.def(py::init<py::object>(), arg("checksum"))
        .def("arm", &arm, arg("session"), arg("stream"), arg("seq"), arg("filling"), arg("most_bytes"),
             arg("chunk_bytes"))
        .def("disarm", &disarm)
        .def("settle", &settle);
    add_plain_method(intake, &kTake);
}

}  // namespace edge_agent
