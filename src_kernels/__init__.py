"""The sources of the kernels; the CUDA backend compiles those in cuda and shared when they are first used."""
