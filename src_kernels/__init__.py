"""What is compiled: the mask rule's C headers, the CPU kernels and the module that loops them over arrays."""
