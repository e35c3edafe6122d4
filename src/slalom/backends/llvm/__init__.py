"""Machine code for the CPU, made by LLVM through llvmlite."""
