"""Kernels for GPUs from the same lowering as the CPU's loops."""
