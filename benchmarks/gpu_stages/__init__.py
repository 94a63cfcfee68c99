"""The stages of ``gpu.py``, in the order of their worth, and what they share: budget, results, child processes."""
