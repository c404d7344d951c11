// The tables of SIMD kernels, and how one instruction set is chosen.
//
// A kernel is a pure function on raw memory. It never allocates, throws or locks; its caller has checked every size.
#pragma once

#include <string>
#include <vector>

#include "logits_kernels.h"
#include "sound_kernels.h"
#include "tensor_kernels.h"
#include "vision_kernels.h"

namespace edge_agent {

// The kernels of one instruction set.
struct KernelTable {
    const char* name;
    const VisionKernels& vision;
    const SoundKernels& sound;
    const TensorKernels& tensor;
    const LogitsKernels& logits = *logits_scalar();
};

// The specification: plain C++.
const KernelTable& scalar_kernels();

// The instruction sets that this machine can run, slowest first; "scalar" is always there.
std::vector<const KernelTable*> available_kernels();

// The table of that name. Throws std::invalid_argument, naming the available ones, where this machine has none.
const KernelTable& kernels_named(const std::string& name);

// The table in use: the one that EDGE_AGENT_ISA names, else the fastest. Chosen at the first call that succeeds.
const KernelTable& active_kernels();

// Names of the CPU features that matter to this library and that this machine has, e.g. "avx2", "asimddp".
std::vector<std::string> cpu_features();

}  // namespace edge_agent
