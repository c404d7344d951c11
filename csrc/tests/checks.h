// What the native tests share: counting checks, random numbers, and the groups of tests.
#pragma once

#include <random>
#include <string>

#include "kernels.h"

// Counts a check and reports `what` where it failed.
void check(bool good, const std::string& what);

// The same random numbers in every run.
std::mt19937& generator();

// Pictures: kernels and streams against scalar; scalar against first principles.
void test_vision(const edge_agent::KernelTable& kernels);
void test_vision_is_its_definition();

// Sound: likewise.
void test_sound(const edge_agent::KernelTable& kernels);
void test_sound_is_its_definition();

// Tensors: likewise.
void test_tensor(const edge_agent::KernelTable& kernels);
void test_tensor_is_its_definition();

// Logits: likewise.
void test_logits(const edge_agent::KernelTable& kernels);
void test_logits_are_their_definition();

// Uploads: the intake of frames.
void test_intake();
