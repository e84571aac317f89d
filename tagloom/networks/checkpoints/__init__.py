"""Official checkpoints, opened without trusting them.

A `.pkl` of StyleGAN2-ADA or StyleGAN3 is a pickle: a program for a machine that may import and call
anything. Here a machine of our own (`machine`) reads it, which knows the opcodes that build values,
and a closed table of names (`known`) instead of imports. It works in a process that can neither
open a file nor a socket (`confinement`, `worker`); what comes back is a safetensors file and a JSON
document, which `reader` checks as any other input. See docs/adr/0009-checkpoints-are-never-run.md.
"""
