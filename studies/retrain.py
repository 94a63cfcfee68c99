"""``python studies/retrain.py …`` is ``autogan-ray retrain …``."""

from autogan_ray.cli.main import script

if __name__ == "__main__":
    script("retrain")
