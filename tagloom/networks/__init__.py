"""Generators and discriminators of the StyleGAN family, their operations and their weights.

Written from the papers: StyleGAN2 (Karras et al. 2020, arXiv 1912.04958), StyleGAN2-ADA
(2006.06676) and StyleGAN3 (2106.12423). Parameters and buffers bear the names of the field's
checkpoints, so that weights can be exchanged.
"""
