"""
The workload model: what a conversation is, step by step, and what each message changes.

It knows nothing of Redis, of time or of the load tool: a step says which parts of the state
become what, and a driver carries that out. A flow is one file in this folder.
"""
