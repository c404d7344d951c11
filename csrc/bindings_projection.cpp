// Projections in Python: a basis made once from its arrays, then tensors to bytes and back without the GIL.

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "bindings.h"
#include "projection.h"
#include "symbols.h"

namespace edge_agent {
namespace {

template <class Value>
using Packed = py::array_t<Value, py::array::c_style>;

// A copy of an array, which must have this type.
template <class Value>
std::vector<Value> values_of(const py::handle& object, const char* name) {
    if (!py::isinstance<Packed<Value>>(object)) {
        throw py::type_error(std::string(name) + " must be a packed array of " +
                             std::string(py::str(py::dtype::of<Value>())));
    }
    const auto array = py::reinterpret_borrow<Packed<Value>>(object);
    return {array.data(), array.data() + array.size()};
}

ProjectionGroup group_of(const py::dict& parts) {
    return {parts["first"].cast<std::size_t>(),
            parts["rows"].cast<std::size_t>(),
            parts["columns"].cast<std::size_t>(),
            parts["kept"].cast<std::size_t>(),
            values_of<float>(parts["mean"], "mean"),
            values_of<float>(parts["down"], "down"),
            values_of<float>(parts["across"], "across"),
            values_of<float>(parts["analysis"], "analysis"),
            values_of<float>(parts["synthesis"], "synthesis")};
}

std::vector<ProjectionTable> tables_of(const py::dict& parts) {
    const std::vector<std::uint8_t> shifts = values_of<std::uint8_t>(parts["shifts"], "shifts");
    const std::vector<std::uint32_t> starts = values_of<std::uint32_t>(parts["starts"], "starts");
    const std::vector<float> centroids = values_of<float>(parts["centroids"], "centroids");
    if (starts.size() != shifts.size() * (kSymbols + 1) || centroids.size() != shifts.size() * kMagnitudes) {
        throw py::value_error("starts must be [tables, 33] and centroids [tables, 16]");
    }
    std::vector<ProjectionTable> tables;
    for (std::size_t i = 0; i < shifts.size(); ++i) {
        ProjectionTable table{};
        table.shift = shifts[i];
        std::copy_n(starts.data() + i * (kSymbols + 1), kSymbols + 1, table.starts);
        std::copy_n(centroids.data() + i * kMagnitudes, kMagnitudes, table.centroids);
        tables.push_back(table);
    }
    return tables;
}

ProjectionLevel level_of(const py::dict& parts) {
    return {values_of<std::uint32_t>(parts["places"], "places"), values_of<std::uint8_t>(parts["classes"], "classes"),
            values_of<float>(parts["steps"], "steps"), parts["rounding"].cast<float>(), tables_of(parts)};
}

std::unique_ptr<Projection> made(std::size_t tokens, std::size_t hidden, const py::list& groups,
                                 const py::list& levels) {
    std::vector<ProjectionGroup> all_groups;
    for (const py::handle& group : groups) {
        all_groups.push_back(group_of(group.cast<py::dict>()));
    }
    std::vector<ProjectionLevel> all_levels;
    for (const py::handle& level : levels) {
        all_levels.push_back(level_of(level.cast<py::dict>()));
    }
    return std::make_unique<Projection>(tokens, hidden, std::move(all_groups), std::move(all_levels));
}

std::size_t checked(const Projection& self, std::size_t level) {
    if (level >= self.levels()) {
        throw py::value_error("level must be below " + std::to_string(self.levels()));
    }
    return level;
}

constexpr std::size_t kMostViews = 4096;

struct Integers {
    std::size_t views;
    const std::int32_t* data;
};

Integers integers(const Projection& self, std::size_t level, const py::handle& values) {
    if (!py::isinstance<Packed<std::int32_t>>(values)) {
        throw py::type_error("values must be a packed array of int32");
    }
    const auto array = py::reinterpret_borrow<Packed<std::int32_t>>(values);
    if (array.ndim() != 2 || array.shape(0) < 1 || static_cast<std::size_t>(array.shape(1)) != self.values(level)) {
        throw py::value_error("values must be [views, " + std::to_string(self.values(level)) + "]");
    }
    return {static_cast<std::size_t>(array.shape(0)), array.data()};
}

// Like `like` in shape, or nullptr for None.
template <class Value>
const Value* beside(const py::handle& object, const py::array& like, const char* name) {
    if (object.is_none()) {
        return nullptr;
    }
    if (!py::isinstance<Packed<Value>>(object)) {
        throw py::type_error(std::string(name) + " must be a packed array of " +
                             std::string(py::str(py::dtype::of<Value>())));
    }
    const auto array = py::reinterpret_borrow<Packed<Value>>(object);
    if (array.ndim() != like.ndim() || !std::equal(array.shape(), array.shape() + array.ndim(), like.shape())) {
        throw py::value_error(std::string(name) + " must have a number for each value");
    }
    return array.data();
}

py::array quantise(const Projection& self, const py::handle& x, std::size_t level, const Isa& isa,
                   const py::object& held, const py::object& margins) {
    const KernelTable& kernels = choose(isa);
    if (!py::isinstance<Packed<float>>(x)) {
        throw py::type_error("x must be a packed array of float32");
    }
    const auto array = py::reinterpret_borrow<Packed<float>>(x);
    const std::size_t rows = array.ndim() == 2 ? static_cast<std::size_t>(array.shape(0)) : 0;
    if (rows == 0 || rows % self.tokens() != 0 || static_cast<std::size_t>(array.shape(1)) != self.hidden()) {
        throw py::value_error("x must be [views * " + std::to_string(self.tokens()) + ", " +
                              std::to_string(self.hidden()) + "]");
    }
    py::array_t<std::int32_t> out({rows / self.tokens(), self.values(checked(self, level))});
    const std::int32_t* const before = beside<std::int32_t>(held, out, "held");
    const float* const nearer = beside<float>(margins, out, "margins");
    if ((before == nullptr) != (nearer == nullptr)) {
        throw py::value_error("held and margins go together");
    }
    std::int32_t* const to = out.mutable_data();
    const Rows<const float> all{array.data(), static_cast<std::ptrdiff_t>(self.hidden()), rows, self.hidden()};
    const py::gil_scoped_release release;
    self.quantise(kernels, level, all, to, before, nearer);
    return std::move(out);
}

py::array restore(const Projection& self, const py::handle& values, std::size_t level, const Isa& isa) {
    const KernelTable& kernels = choose(isa);
    const Integers from = integers(self, checked(self, level), values);
    const std::size_t tokens = from.views * self.tokens();
    py::array_t<float> out({tokens, self.hidden()});
    const Rows<float> rows{out.mutable_data(), static_cast<std::ptrdiff_t>(self.hidden()), tokens, self.hidden()};
    const py::gil_scoped_release release;
    self.restore(kernels, level, from.data, rows);
    return std::move(out);
}

py::bytes pack(const Projection& self, const py::handle& values, std::size_t level) {
    const Integers from = integers(self, checked(self, level), values);
    std::vector<std::uint8_t> bytes;
    {
        const py::gil_scoped_release release;
        bytes = self.pack(level, from.views, from.data);
    }
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

py::array unpack(const Projection& self, const py::bytes& payload, std::size_t level, std::size_t views) {
    if (views < 1 || views > kMostViews) {
        throw py::value_error("views must be 1 to " + std::to_string(kMostViews));
    }
    char* data = nullptr;
    py::ssize_t size = 0;
    PyBytes_AsStringAndSize(payload.ptr(), &data, &size);
    py::array_t<std::int32_t> out({views, self.values(checked(self, level))});
    std::int32_t* const to = out.mutable_data();
    const py::gil_scoped_release release;
    self.unpack(level, views, reinterpret_cast<const std::uint8_t*>(data), static_cast<std::size_t>(size), to);
    return std::move(out);
}

std::unique_ptr<SymbolCoder> coder_of(const py::dict& tables) {
    return std::make_unique<SymbolCoder>(tables_of(tables));
}

const std::uint16_t* kinds_of(const py::handle& kinds, const py::array& values) {
    const std::uint16_t* const found = beside<std::uint16_t>(kinds, values, "kinds");
    if (found == nullptr) {
        throw py::type_error("kinds must be a packed array of uint16");
    }
    return found;
}

py::bytes pack_symbols(const SymbolCoder& self, const py::handle& values, const py::handle& kinds) {
    if (!py::isinstance<Packed<std::int32_t>>(values)) {
        throw py::type_error("values must be a packed array of int32");
    }
    const auto array = py::reinterpret_borrow<Packed<std::int32_t>>(values);
    const std::uint16_t* const named = kinds_of(kinds, array);
    const std::int32_t* const from = array.data();
    const auto count = static_cast<std::size_t>(array.size());
    std::vector<std::uint8_t> bytes;
    {
        const py::gil_scoped_release release;
        bytes = self.pack(count, from, named);
    }
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

py::array unpack_symbols(const SymbolCoder& self, const py::bytes& payload, const py::handle& kinds) {
    if (!py::isinstance<Packed<std::uint16_t>>(kinds)) {
        throw py::type_error("kinds must be a packed array of uint16");
    }
    const auto named = py::reinterpret_borrow<Packed<std::uint16_t>>(kinds);
    char* data = nullptr;
    py::ssize_t size = 0;
    PyBytes_AsStringAndSize(payload.ptr(), &data, &size);
    py::array_t<std::int32_t> out(std::vector<py::ssize_t>(named.shape(), named.shape() + named.ndim()));
    std::int32_t* const to = out.mutable_data();
    const std::uint16_t* const from = named.data();
    const auto count = static_cast<std::size_t>(named.size());
    const py::gil_scoped_release release;
    self.unpack(count, reinterpret_cast<const std::uint8_t*>(data), static_cast<std::size_t>(size), from, to);
    return std::move(out);
}

}  // namespace

void add_projection(py::module_& module) {
    using py::arg;
    const auto none = py::none();
    py::class_<Projection>(module, "Projection")
        .def(py::init(&made), arg("tokens"), arg("hidden"), arg("groups"), arg("levels"))
        .def("quantise", &quantise, arg("x"), arg("level"), arg("isa") = none, arg("held") = none,
             arg("margins") = none)
        .def("restore", &restore, arg("values"), arg("level"), arg("isa") = none)
        .def("pack", &pack, arg("values"), arg("level"))
        .def("unpack", &unpack, arg("payload"), arg("level"), arg("views") = 1);
    py::class_<SymbolCoder>(module, "SymbolCoder")
        .def(py::init(&coder_of), arg("tables"))
        .def("pack", &pack_symbols, arg("values"), arg("kinds"))
        .def("unpack", &unpack_symbols, arg("payload"), arg("kinds"));
}

}  // namespace edge_agent
