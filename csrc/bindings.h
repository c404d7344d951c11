// What the files of the Python module share: each adds its part to the module.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <optional>
#include <string>

#include "buffers.h"
#include "kernels.h"

namespace edge_agent {

namespace py = pybind11;

// The name of an instruction set, or None for the one in use.
using Isa = std::optional<std::string>;

inline const KernelTable& choose(const Isa& isa) { return isa ? kernels_named(*isa) : active_kernels(); }

void add_vision(py::module_& module);
void add_vision_stream(py::module_& module);
void add_sound(py::module_& module);
void add_tensor(py::module_& module);
void add_logits(py::module_& module);
void add_projection(py::module_& module);
void add_intake(py::module_& module);

}  // namespace edge_agent
