"""
The conductor: one run, from the guard to the seal.

It starts the server, the sampler and the load, each as a process of its own, watches over them,
and ends with a sealed run directory however the run ends. It computes no figure itself.
"""
