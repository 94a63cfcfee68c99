"""The fast form of the networks: the mathematics of the plain form, with fewer and larger operations.

The plain form is :mod:`autogan_ray.nets.gan`, ``dag_cell``, ``block_cell`` and ``mixed_op``; it imports nothing from
here. The only door is :func:`autogan_ray.nets.compute.configured`. In the order of a forward pass:

forward             the cells and mixed operations, step by step
grouping            which convolutions of a cell are computed as one
weighted_kernels    kernels, biases and batch norms times their architecture weights, for all cells together
spectral_norms      the spectral norms of all layers that run, computed together
operation           one operation by itself, with a weight folded into its layers
shared_input        what several operations read, computed once; sums in place
dilated             convolutions with "same" padding, the weights' gradient of dilated ones over phases

Three parts have not shown that they pay, and are ready to be dropped (figures: ``docs/performance.md``):

- all cells of a network at once in ``weighted_kernels``, instead of group by group: a ``gumbel`` step on a CPU is 1.05
  to 1.1 times faster, with tiny networks (3 channels, batch 2) 1.3 times; half of the operations;
- ``spectral_norms.computed_together``: no difference in time on a CPU; 278 operations instead of 369 in a step on D;
- ``weighted_kernels.Affines``: no difference in time on a CPU; 3,154 operations instead of 4,297 (``digits``,
  ``gumbel``).
"""
