"""A cloud bundle's decoder behind a vLLM: written as a folder that it serves, and tried against the `onnx` backend."""
