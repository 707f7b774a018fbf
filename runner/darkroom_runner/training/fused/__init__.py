"""Parts of the U-Net and the text encoders as single autograd functions on the CPU: the same mathematics, in fewer
operations and less memory.

diffusers and peft run a transformer layer as about 80 operations, of which autograd records each with its inputs. For
small models that takes longer than the arithmetic; for large ones it keeps tensors that cost little to compute again.
`layers` decides what is fused. The functions keep no weights' gradients but those of the adapters: all else is frozen.
"""
