"""Fused elementwise kernels in C for training on a CPU, compiled on the machine that uses them.

Where they are not (no compiler, no Linux, ``YANMO_KERNELS=0``), torch's operators do the same work;
``status`` says which it is. The differentiable functions that use them stand
beside those of torch's operators.
"""

from yanmo.nn.kernels.library import first_derivative, status, suit

__all__ = ["first_derivative", "status", "suit"]
