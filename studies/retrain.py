"""``python studies/retrain.py …`` is ``autogan-ray retrain …``."""

from autogan_ray.cli import script

if __name__ == "__main__":
    script("retrain")
