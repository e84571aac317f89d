"""The operations of the networks: bias and activation, resampling, modulated convolution.

All are differentiable, and twice so unless they say otherwise. Tensors are NCHW.
"""
